package caddymodule

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"slices"
	"strings"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// smtpDone is the reply code of a command that a mail server carried out.
const smtpDone = 250

// What a mail server may not be able to do.
var (
	errNoStartTLS = errors.New("mail server offers no STARTTLS: want `tls implicit` if it expects TLS from the start, or another port")
	errNoAuth     = errors.New("mail server offers neither AUTH PLAIN nor AUTH LOGIN")
	errPassword   = errors.New("password for the mail server cannot be read")
)

// send hands a message to the server and tells how many of the recipients the server refused; it is an error if that is all of them. Errors of the server are *textproto.Error.
// insist wants none of them refused for the moment.
func (m *mailer) send(ctx context.Context, text []byte, insist bool) (refused int, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", m.Server)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // net/smtp knows no context
	speak := conn
	if m.TLS == mailImplicit {
		secured := tls.Client(conn, m.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			return 0, err
		}
		speak = secured
	}
	client, err := smtp.NewClient(speak, m.host)
	if err != nil {
		return 0, err
	}
	if err := m.begin(client, conn.LocalAddr()); err != nil {
		return 0, err
	}
	refused, err = m.envelope(client, insist)
	if err != nil {
		return 0, err
	}
	w, err := client.Data()
	if err != nil {
		return 0, err
	}
	if _, err := w.Write(text); err != nil {
		return 0, err
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	_ = client.Quit() // the message is the server's by now: sending it again would only double it
	return refused, nil
}

// begin says who we are, secures the connection, and proves it.
func (m *mailer) begin(client *smtp.Client, local net.Addr) error {
	if err := client.Hello(smtpName(local)); err != nil {
		return err
	}
	if m.TLS == mailStartTLS {
		if ok, _ := client.Extension("STARTTLS"); !ok {
			return errNoStartTLS
		}
		if err := client.StartTLS(m.tls); err != nil {
			return err
		}
	}
	if m.User == "" {
		return nil
	}
	secret, err := newSecretSource(m.Password) // a changed file is picked up
	if err != nil {
		return fmt.Errorf("%w: %w", errPassword, err)
	}
	return client.Auth(&passwordAuth{Auth: smtp.PlainAuth("", m.User, string(secret.value), m.host), user: m.User, password: string(secret.value)})
}

// smtpName is what this host is called in a mail server's greeting: its full name, or its address, as RFC 5321 4.1.3 has it, if it knows only half of its name.
func smtpName(local net.Addr) string {
	if name, err := os.Hostname(); err == nil && strings.Contains(name, ".") && !strings.ContainsAny(name, "\r\n ") {
		return name
	}
	tcp, ok := local.(*net.TCPAddr)
	switch {
	case !ok:
		return "localhost"
	case tcp.IP.To4() != nil:
		return "[" + tcp.IP.String() + "]"
	}
	return "[IPv6:" + tcp.IP.String() + "]"
}

// envelope names the sender and the recipients. One whom the server refuses does not keep the message from the others; with insist, one whom it refuses for the moment does.
func (m *mailer) envelope(client *smtp.Client, insist bool) (refused int, err error) {
	if err := client.Mail(m.from.Address); err != nil {
		return 0, err
	}
	var last error
	for _, to := range m.to {
		err := client.Rcpt(to.Address)
		var reply *textproto.Error
		switch {
		case errors.As(err, &reply) && reply.Code != smtpClosing && (reply.Code >= smtpPermanent || !insist):
			refused, last = refused+1, err
		case err != nil:
			return 0, err
		}
	}
	if refused == len(m.to) {
		return refused, last
	}
	return refused, nil
}

// Reply codes of mail servers.
const (
	smtpClosing   = 421 // ends the connection
	smtpPermanent = 500 // and above: another try will not help
)

// passwordAuth is AUTH PLAIN, or AUTH LOGIN for a server that offers no other way to give a password.
type passwordAuth struct {
	smtp.Auth // PLAIN
	user      string
	password  string
	login     bool
	asked     int // of LOGIN: the user, then the password
}

// Start implements [smtp.Auth].
func (a *passwordAuth) Start(server *smtp.ServerInfo) (mechanism string, first []byte, err error) {
	offers := func(name string) bool {
		return slices.ContainsFunc(server.Auth, func(s string) bool { return strings.EqualFold(s, name) })
	}
	switch {
	case !server.TLS:
		return "", nil, errors.New("a password is not sent without tls")
	case offers("PLAIN"):
		return a.Auth.Start(server)
	case offers("LOGIN"):
		a.login = true
		return "LOGIN", nil, nil
	}
	return "", nil, errNoAuth
}

// Next implements [smtp.Auth].
func (a *passwordAuth) Next(fromServer []byte, more bool) ([]byte, error) {
	if !a.login {
		return a.Auth.Next(fromServer, more)
	}
	if !more {
		return nil, nil
	}
	a.asked++
	switch a.asked { // the prompts differ from server to server, their order does not
	case 1:
		return []byte(a.user), nil
	case 2:
		return []byte(a.password), nil
	}
	return nil, errors.New("mail server asks for more than a name and a password")
}

// mailFailure describes a failed conversation. The text of a server's reply is not repeated: servers put addresses and worse in it.
func mailFailure(ctx context.Context, err error) delivery.Result {
	var (
		reply    *textproto.Error
		protocol textproto.ProtocolError
		resolve  *net.DNSError
	)
	switch {
	case ctx.Err() != nil:
		return delivery.Result{Class: delivery.ClassTimeout, Error: "mail server did not answer in time"}
	case errors.As(err, &reply):
		return delivery.Result{Class: delivery.ClassStatus, Status: reply.Code, Error: fmt.Sprintf("mail server answered %d", reply.Code)}
	case errors.As(err, &protocol):
		return delivery.Result{Class: classReset, Error: "mail server does not speak SMTP on this port: want `tls implicit` if it expects TLS from the start"}
	case isTLS(err):
		return delivery.Result{Class: classTLS, Error: "mail server, TLS: " + tlsText(err)}
	case errors.Is(err, errNoStartTLS), errors.Is(err, errNoAuth):
		return delivery.Result{Class: classTLS, Error: err.Error()}
	case errors.Is(err, errPassword):
		return delivery.Result{Class: delivery.ClassInternal, Error: err.Error()}
	case errors.As(err, &resolve):
		return delivery.Result{Class: classDNS, Error: "mail server's name does not resolve"}
	case isDial(err):
		return delivery.Result{Class: classDial, Error: "cannot connect to the mail server: " + errnoText(err)}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return delivery.Result{Class: classReset, Error: "mail server closed the connection before it took the message"}
	}
	return delivery.Result{Class: classReset, Error: "mail server: " + errnoText(err)}
}
