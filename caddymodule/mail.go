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
	// How the connection is secured: `starttls` (the default), `implicit` (from the start; the default of port 465) or `none`.
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

// submissions is the port of mail servers that expect TLS from the start, as RFC 8314 has it.
const submissions = "465"

// maxSubject is how many bytes of a message's summary its subject has: a line of a header may have 998 at most.
const maxSubject = 200

// insistTries is how many tries want the server to take every recipient whom it does not refuse for good; after them the others no longer wait for him.
const insistTries = 2

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
	if m.host, port, err = net.SplitHostPort(e.Server); err != nil || m.host == "" || port == "" || isPlaceholder(e.Server) {
		return nil, fmt.Errorf("email: server %q: want one with its port, such as smtp.example.com:587", e.Server)
	}
	switch e.TLS {
	case "":
		m.TLS = mailStartTLS
		if port == submissions {
			m.TLS = mailImplicit
		}
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
	if isPlaceholder(e.User) {
		return nil, fmt.Errorf("email: auth: name %q: only the password may be a placeholder", e.User)
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
	refused, err := m.send(ctx, text, try.Attempt <= insistTries)
	if err != nil {
		return mailFailure(ctx, err)
	}
	r := delivery.Result{Status: smtpDone}
	if refused > 0 {
		r.Response = fmt.Appendf(nil, "mail server refused %d of %d recipients", refused, len(m.to))
	}
	return r
}

// compose writes the message. Its id is that of the event, so that a message that is sent twice is recognised.
func (m *mailer) compose(a *alertMessage, try *delivery.Try) ([]byte, error) {
	subject := mime.QEncoding.Encode("utf-8", truncate("[sluice] "+a.Summary, maxSubject))
	subject = strings.ReplaceAll(subject, "?= =?", "?=\r\n =?") // an encoded word per line, none of which is too long then
	var to []string
	for _, address := range m.to {
		to = append(to, address.String())
	}
	var b bytes.Buffer
	for _, field := range [][2]string{
		{"From", m.from.String()}, {"To", strings.Join(to, ", ")}, {"Subject", subject},
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

var _ delivery.Forwarder = (*mailer)(nil)
