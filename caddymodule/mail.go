package caddymodule

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// Email sends the messages of an alert through a mail server. They are deliveries like all others: kept, retried, and visible.
type Email struct {
	// Who gets them.
	To []string `json:"to"`
	// From whom they are.
	From string `json:"from"`
	// The mail server, with its port.
	Server string `json:"server"`
	// How the connection is secured: `starttls` (the default), `implicit` (from the start, port 465) or `none`.
	TLS string `json:"tls,omitempty"`
	// Name and password at the server; the password may be a placeholder.
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
}

// The ways to secure a connection to a mail server.
const (
	mailStartTLS = "starttls"
	mailImplicit = "implicit"
	mailPlain    = "none"
)

// mailer is the destination of an alert's mail.
type mailer struct {
	Email
	name string
	from *mail.Address
	to   []*mail.Address
	host string
	tls  *tls.Config
}

func newMailer(e *Email, alert string) (*mailer, error) {
	m := &mailer{Email: *e, name: "mail:" + alert}
	var err error
	if m.from, err = mail.ParseAddress(e.From); err != nil {
		return nil, fmt.Errorf("email: from %q: want an address such as sluice@example.com", e.From)
	}
	for _, text := range e.To {
		address, err := mail.ParseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("email: %q: want an address such as ops@example.com", text)
		}
		m.to = append(m.to, address)
	}
	var port string
	if m.host, port, err = net.SplitHostPort(e.Server); err != nil || m.host == "" || port == "" {
		return nil, fmt.Errorf("email: server %q: want one with its port, such as smtp.example.com:587", e.Server)
	}
	switch e.TLS {
	case "":
		m.TLS = mailStartTLS
	case mailStartTLS, mailImplicit, mailPlain:
	default:
		return nil, fmt.Errorf("email: tls %q: want %s, %s or %s", e.TLS, mailStartTLS, mailImplicit, mailPlain)
	}
	m.tls = &tls.Config{ServerName: m.host, MinVersion: tls.VersionTLS12}
	if len(m.to) == 0 {
		return nil, errors.New("email: want one or more addresses")
	}
	if (e.User == "") != (e.Password == "") {
		return nil, errors.New("email: auth needs a name and a password")
	}
	if e.Password != "" {
		if m.TLS == mailPlain {
			return nil, errors.New("email: a password is not sent without tls")
		}
		if _, err := newSecretSource(e.Password); err != nil {
			return nil, fmt.Errorf("email: password: %w", err)
		}
	}
	return m, nil
}

// Forward implements [delivery.Forwarder].
func (m *mailer) Forward(ctx context.Context, try *delivery.Try) delivery.Result {
	var message alertMessage
	if err := json.Unmarshal(try.Event.Body, &message); err != nil {
		return delivery.Result{Class: classTransform, Error: "event is not an alert", Permanent: true}
	}
	text, err := m.compose(&message, try)
	if err != nil {
		return delivery.Result{Class: classTransform, Error: err.Error(), Permanent: true}
	}
	err = m.send(ctx, text)
	var refused *textproto.Error
	switch {
	case err == nil:
		return delivery.Result{Status: 250}
	case ctx.Err() != nil:
		return delivery.Result{Class: delivery.ClassTimeout, Error: "mail server did not answer in time"}
	case errors.As(err, &refused): // the text after the code is not repeated: servers put addresses and worse in it
		return delivery.Result{Class: delivery.ClassStatus, Status: refused.Code, Error: fmt.Sprintf("mail server answered %d", refused.Code)}
	}
	return delivery.Result{Class: "dial", Error: err.Error()}
}

// compose writes the message. Its id is that of the event, so that a message that is sent twice is recognised.
func (m *mailer) compose(a *alertMessage, try *delivery.Try) ([]byte, error) {
	subject := "[sluice] " + a.Summary
	var to []string
	for _, address := range m.to {
		to = append(to, address.String())
	}
	var b bytes.Buffer
	for _, field := range [][2]string{
		{"From", m.from.String()}, {"To", strings.Join(to, ", ")}, {"Subject", mime.QEncoding.Encode("utf-8", subject)},
		{"Date", try.Event.ReceivedAt.Format(time.RFC1123Z)}, {"Message-Id", "<" + try.Event.ID.String() + "@" + m.domain() + ">"},
		{"Auto-Submitted", "auto-generated"}, {"Mime-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", field[0], field[1])
	}
	b.WriteString("\r\n")
	body := quotedprintable.NewWriter(&b)
	fmt.Fprintf(body, "%s\r\n\r\nstate:     %s\r\nalert:     %s\r\ncondition: %s\r\n", a.Summary, a.State, a.Alert, a.Kind)
	if a.Subject != "" {
		fmt.Fprintf(body, "subject:   %s\r\n", a.Subject)
	}
	fmt.Fprintf(body, "since:     %s\r\n", a.Since.UTC().Format(time.RFC3339))
	if err := body.Close(); err != nil {
		return nil, fmt.Errorf("writing the message: %w", err)
	}
	return b.Bytes(), nil
}

func (m *mailer) domain() string {
	_, domain, _ := strings.Cut(m.from.Address, "@")
	return domain
}

// send hands a message to the server. Errors of the server are *textproto.Error.
func (m *mailer) send(ctx context.Context, text []byte) (err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", m.Server)
	if err != nil {
		return fmt.Errorf("mail server cannot be reached: %w", err)
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })() // net/smtp knows no context
	if m.TLS == mailImplicit {
		conn = tls.Client(conn, m.tls)
	}
	client, err := smtp.NewClient(conn, m.host)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, client.Close())
		}
	}()
	if err := m.begin(client); err != nil {
		return err
	}
	if err := client.Mail(m.from.Address); err != nil {
		return err
	}
	for _, to := range m.to {
		if err := client.Rcpt(to.Address); err != nil {
			return err
		}
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = client.Quit() // the message is the server's by now: sending it again would only double it
	return nil
}

// begin secures the connection and proves who we are.
func (m *mailer) begin(client *smtp.Client) error {
	if m.TLS == mailStartTLS {
		if err := client.StartTLS(m.tls); err != nil {
			return fmt.Errorf("mail server, STARTTLS: %w", err)
		}
	}
	if m.User == "" {
		return nil
	}
	secret, err := newSecretSource(m.Password) // a changed file is picked up
	if err != nil {
		return fmt.Errorf("password: %w", err)
	}
	return client.Auth(smtp.PlainAuth("", m.User, string(secret.value), m.host))
}

var _ delivery.Forwarder = (*mailer)(nil)
