package caddymodule

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// The classes of failure that forwarding tells apart, beside the engine's own.
const (
	classDial      = "dial"
	classDNS       = "dns"
	classTLS       = "tls"
	classReset     = "reset"
	classTruncated = "truncated"
	classTransform = "transform"
	classEnrich    = "enrich"
	classHeader    = "header"
	classProtocol  = "protocol"
)

// errNoFinalStatus means that an answer came, and with it a status that is not the last word on anything.
var errNoFinalStatus = errors.New("answer has no final status")

// errBrokeOff means that an answer ended before its end.
var errBrokeOff = errors.New("answer broke off")

// connectPhases notes which phase of a connection failed and why: reverse_proxy hides the error of a dial.
type connectPhases struct {
	dns, tls atomic.Bool
	dial     atomic.Pointer[error]
}

func (p *connectPhases) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSDone: func(i httptrace.DNSDoneInfo) { p.dns.Store(i.Err != nil) },
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				p.dial.Store(nil)
			} else {
				p.dial.Store(&err)
			}
		},
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) { p.tls.Store(err != nil) },
	})
}

// classify names a failure and describes it without anything of the payload.
func (p *connectPhases) classify(ctx context.Context, err error, answer *recorder) (class, text string) {
	var handlerErr caddyhttp.HandlerError
	if errors.As(err, &handlerErr) && handlerErr.Err != nil {
		err = handlerErr.Err
	}
	switch {
	case answer.enough:
		return "", "" // we stopped reading; the status is what counts
	case errors.Is(err, errNoFinalStatus):
		return classProtocol, "answer has a status below 200 and no other"
	case errors.Is(err, errUnsendable):
		return classHeader, err.Error()
	case errors.Is(ctx.Err(), context.DeadlineExceeded) || isTimeout(err):
		return delivery.ClassTimeout, "no complete answer in time"
	case ctx.Err() != nil:
		return delivery.ClassInternal, "cut off by shutdown"
	case errors.Is(err, errBrokeOff) || errors.Is(err, io.ErrUnexpectedEOF) || answer.status != 0 && err != nil:
		return classTruncated, "answer broke off before its end"
	case p.dns.Load():
		return classDNS, "host name does not resolve"
	case isTLS(err) || p.tls.Load():
		return classTLS, "TLS: " + tlsText(err)
	case p.dial.Load() != nil:
		return classDial, "cannot connect: " + errnoText(*p.dial.Load())
	case isDial(err):
		return classDial, "cannot connect: " + errnoText(err)
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed):
		return classReset, "connection closed before an answer"
	case handlerErr.StatusCode == http.StatusServiceUnavailable:
		return classDial, "no upstream is available"
	}
	var op *net.OpError
	if text := protocolText(err); text != "" && !errors.As(err, &op) {
		return classProtocol, text
	}
	return classReset, "no answer: " + errnoText(err)
}

// protocolText says what is wrong with an answer that net/http cannot read. Its own errors have no types, and quote the answer.
func protocolText(err error) string {
	for _, known := range []struct{ part, text string }{
		{"server response headers exceeded", "answer's header is too large"},
		{"malformed MIME header", "answer's header cannot be read"},
		{"malformed HTTP", "answer is not HTTP"},
		{"http2: response header list larger", "answer's header is too large"},
		{"malformed response from server", "answer's header cannot be read"}, // of HTTP/2
		{"PROTOCOL_ERROR", "answer is not HTTP/2 that can be read"},
		{"http2: frame too large", "answer is not HTTP/2 that can be read"},
		// the rest of what is wrong with a header of HTTP/1, such as two lengths: what broke the connection itself has been told apart before
		{"transport connection broken: ", "answer's header cannot be read"},
	} {
		if err != nil && strings.Contains(err.Error(), known.part) {
			return known.text
		}
	}
	return ""
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED)
}

// tlsAlert is the alert that ended a TLS connection, ours or the application's; nil if it was none. Its type is crypto/tls's own, and the operation tells it.
func tlsAlert(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") {
		return op.Err
	}
	return nil
}

func isTLS(err error) bool {
	var (
		record  tls.RecordHeaderError
		alert   tls.AlertError
		verify  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	return tlsAlert(err) != nil || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &verify) ||
		errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid)
}

func tlsText(err error) string {
	var (
		verify  *tls.CertificateVerificationError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "certificate has expired or is not yet valid"
	case errors.As(err, &verify):
		return "certificate is not trusted: " + verify.Err.Error()
	case errors.As(err, &record):
		return "the application does not speak TLS on this port"
	case tlsAlert(err) != nil:
		return "ended by an alert: " + strings.TrimPrefix(tlsAlert(err).Error(), "tls: ")
	}
	return "handshake failed"
}

// errnoText is the operating system's word for a failure, which names no address and no payload.
func errnoText(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return "no further detail (" + strconv.Quote(fmt.Sprintf("%T", err)) + ")"
}
