package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// receive reads the request as the provider sent it: all of its body, within the limits of size and time, and the URL before any rewrite.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request, started time.Time) (*verifiers.Request, error) {
	if err := h.methodKnown(r.Method); err != nil {
		return nil, err
	}
	body, err := h.readBody(w, r, started)
	if err != nil {
		return nil, err
	}
	address, err := h.originalURL(r)
	if err != nil {
		return nil, err
	}
	return &verifiers.Request{
		Method: r.Method, URL: address, Header: r.Header, Body: body, At: started, ClientIP: clientIP(r), Source: h.Name,
	}, nil
}

func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, started time.Time) ([]byte, error) {
	if r.ContentLength > h.rules.maxBody {
		return nil, h.tooLarge()
	}
	limited := r.Body
	if r.ContentLength < 0 { // otherwise the server reads what was announced and not more
		limited = http.MaxBytesReader(w, r.Body, h.rules.maxBody)
	}
	// a connection that cannot have a deadline (a test's, HTTP/3 in part) is bounded by Caddy's own timeouts
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(started.Add(h.rules.deadline))
	body, err := readWhole(limited, r.ContentLength)
	_ = control.SetReadDeadline(time.Time{})
	if err == nil {
		return body, nil
	}
	var limit *http.MaxBytesError
	var handlerErr caddyhttp.HandlerError
	var netErr net.Error
	switch {
	case errors.As(err, &limit), errors.As(err, &handlerErr) && handlerErr.StatusCode == http.StatusRequestEntityTooLarge:
		return nil, h.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return nil, &failure{status: http.StatusRequestTimeout, result: resultRefused, reason: "slow", err: errors.New("body did not arrive in time")}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &failure{status: http.StatusBadRequest, result: resultRefused, reason: "truncated", err: errors.New("body ended before its announced length")}
	}
	return nil, &failure{status: http.StatusBadRequest, result: resultRefused, reason: "unreadable", err: errors.New("body cannot be read")}
}

// lingerTime bounds how long the rest of a body is read that nobody wants.
const lingerTime = 5 * time.Second

// failUnread answers a request whose body was not read to its end, and reads on while its sender sends on: to close a connection with unread data in it resets it,
// and the sender may see that in place of the answer. HTTP/2 and later end one request without the others.
func (h *Handler) failUnread(w http.ResponseWriter, r *http.Request, err error) error {
	unread := r.ProtoMajor == 1 && r.ContentLength != 0
	if unread {
		w.Header().Set("Connection", "close")
	}
	if err := h.fail(w, nil, err); err != nil {
		return err
	}
	if !unread || r.Header.Get("Expect") != "" { // who asks first has sent nothing
		return nil
	}
	control := http.NewResponseController(w)
	if control.SetReadDeadline(time.Now().Add(lingerTime)) == nil && control.Flush() == nil {
		_, _ = io.Copy(io.Discard, r.Body) // it ends with the sender or the deadline
	}
	return nil
}

func (h *Handler) tooLarge() error {
	return &failure{
		status: http.StatusRequestEntityTooLarge, result: resultRefused, reason: "too_large",
		err: fmt.Errorf("body is larger than %d bytes", h.rules.maxBody),
	}
}

// maxTrusted is how much memory a body gets because it says that it is so large; more than that it gets as it arrives.
const maxTrusted = 64 << 10

// readWhole reads a body to its end. announced is the length that it says it has; negative: not known. Who announces much and sends little, on many connections, does not
// get the memory: there is four times as much of it as has arrived, and in the end as much as there must be.
func readWhole(body io.Reader, announced int64) ([]byte, error) {
	buf := make([]byte, 0, min(max(announced, bytes.MinRead-1), maxTrusted)+1) // the end shows in the byte behind it
	for {
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, grownSize(len(buf), announced)), buf...)
		}
	}
}

// grownSize is how large a full buffer becomes: as large as the body and the byte behind it, or as much of that as four times what has arrived.
func grownSize(full int, announced int64) int {
	if announced < int64(full) { // not known, or wrong
		return 2 * full
	}
	return int(min(announced+1, 4*int64(full)))
}

// originalURL is the absolute address as the sender saw it: of the request before any rewrite, with public_url in place of what a proxy in front changed.
func (h *Handler) originalURL(r *http.Request) (*url.URL, error) {
	sent := r.URL
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		sent = original.URL
	}
	u := &url.URL{Scheme: "http", Host: r.Host, Path: sent.Path, RawPath: sent.RawPath, RawQuery: sent.RawQuery}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted {
		if proto := r.Header.Get("X-Forwarded-Proto"); proto == "http" || proto == "https" {
			u.Scheme = proto
		}
		if host := r.Header.Get("X-Forwarded-Host"); host != "" && !strings.ContainsAny(host, "/, ") {
			u.Host = host
		}
	}
	if base := h.rules.publicURL; base != nil {
		u.Scheme, u.Host = base.Scheme, base.Host
		if prefix := strings.TrimSuffix(base.EscapedPath(), "/"); prefix != "" {
			joined, err := url.Parse(prefix + u.EscapedPath())
			if err != nil {
				return nil, &failure{status: http.StatusBadRequest, result: resultRefused, reason: "unreadable", err: errors.New("path cannot be read")}
			}
			u.Path, u.RawPath = joined.Path, joined.RawPath
		}
	}
	return u, nil
}

func clientIP(r *http.Request) string {
	if ip, ok := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string); ok && ip != "" {
		return ip
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// methodKnown refuses methods that neither deliveries nor handshakes use, before the body is read.
func (h *Handler) methodKnown(method string) error {
	if slices.Contains(h.rules.methods, method) || slices.Contains(h.rules.handshakeMethods, method) {
		return nil
	}
	return h.methodNotAllowed(method)
}

// checkMethod refuses a request that is no handshake and has a method of handshakes only. Before it is verified it may still be one of those that are signed.
func (h *Handler) checkMethod(req *verifiers.Request, verified bool) error {
	if slices.Contains(h.rules.methods, req.Method) || !verified && slices.Contains(h.rules.signedMethods, req.Method) {
		return nil
	}
	return h.methodNotAllowed(req.Method)
}

func (h *Handler) methodNotAllowed(method string) error {
	return &failure{
		status: http.StatusMethodNotAllowed, result: resultRefused, reason: "method",
		err: fmt.Errorf("method %q is not one of the provider's", truncate(method, 20)),
	}
}

func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}

// parsePublicURL takes what stands in front of a request's own path and query, which are kept.
func parsePublicURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if strings.Contains(text, "@") {
		text = redactUserinfo(text)
	}
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("public_url %q: want an address such as https://hooks.example.com", text)
	case u.User != nil || strings.ContainsAny(text, "?#{}"):
		return nil, fmt.Errorf("public_url %q: want scheme, host and perhaps a path: no user, query, fragment or placeholder", text)
	}
	return u, nil
}
