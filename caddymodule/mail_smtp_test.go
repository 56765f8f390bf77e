package caddymodule

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"mime"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

const mailPassword = "pass word é"

// mailCertificate is one for 127.0.0.1, and what trusts it.
func mailCertificate(t *testing.T) (server *tls.Config, trust *x509.CertPool) {
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	trust = x509.NewCertPool()
	trust.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12}, trust
}

// sendMail sends an alert's message to a server with these habits.
func sendMail(ctx context.Context, t *testing.T, habits mailHabits, e Email, trust *x509.CertPool, summary string) (delivery.Result, *mailServer) {
	t.Helper()
	server := startMailServer(t, habits)
	e.Server = server.address
	if e.From == "" {
		e.From = "sluice@example.com"
	}
	if len(e.To) == 0 {
		e.To = []string{"ops@example.com"}
	}
	m, err := newMailer(&e, "page")
	if err != nil {
		t.Fatal(err)
	}
	m.tls.RootCAs = trust
	body, err := json.Marshal(alertMessage{State: "firing", firing: firing{finding: finding{Summary: summary}}})
	if err != nil {
		t.Fatal(err)
	}
	event := &queue.Event{ID: 1, Body: body, ReceivedAt: time.Unix(1, 0)}
	return m.Forward(ctx, &delivery.Try{Event: event}), server
}

// TestMailServers goes through the ways in which servers want to be spoken to.
func TestMailServers(t *testing.T) {
	certificate, trust := mailCertificate(t)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(mailPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	auth := Email{User: "sluice", Password: "{file." + password + "}"}
	implicit := Email{TLS: mailImplicit, User: "sluice", Password: mailPassword}
	for name, test := range map[string]struct {
		habits   mailHabits
		email    Email
		distrust bool
		want     string // class, status and error; empty if the message arrives
		unsaid   string // that must not have been said to the server
	}{
		"in the clear":                      {mailHabits{}, Email{TLS: mailPlain}, false, "", "STARTTLS"},
		"STARTTLS offered, clear wanted":    {mailHabits{starttls: true, tls: certificate}, Email{TLS: mailPlain}, false, "", "STARTTLS"},
		"STARTTLS":                          {mailHabits{starttls: true, tls: certificate}, Email{}, false, "", ""},
		"STARTTLS not offered":              {mailHabits{}, Email{}, false, "tls 0 mail server offers no STARTTLS: ", "MAIL"},
		"STARTTLS taken back":               {mailHabits{starttls: true, reply: map[string]string{"STARTTLS": "454 not now"}}, Email{}, false, "status 454 mail server answered 454", "MAIL"},
		"STARTTLS, not trusted":             {mailHabits{starttls: true, tls: certificate, auth: []string{"PLAIN"}}, auth, true, "tls 0 mail server, TLS: certificate is not trusted", "AUTH"},
		"implicit":                          {mailHabits{implicit: true, tls: certificate}, Email{TLS: mailImplicit}, false, "", "STARTTLS"},
		"implicit, not trusted":             {mailHabits{implicit: true, tls: certificate}, Email{TLS: mailImplicit}, true, "tls 0 mail server, TLS: certificate is not trusted", "EHLO"},
		"implicit, server in the clear":     {mailHabits{}, Email{TLS: mailImplicit}, false, "tls 0 mail server, TLS: ", "MAIL"},
		"PLAIN":                             {mailHabits{starttls: true, tls: certificate, auth: []string{"LOGIN", "PLAIN"}, password: mailPassword}, auth, false, "", "AUTH LOGIN"},
		"LOGIN":                             {mailHabits{starttls: true, tls: certificate, auth: []string{"XOAUTH2", "login"}, password: mailPassword}, auth, false, "", "AUTH PLAIN"},
		"LOGIN, implicit":                   {mailHabits{implicit: true, tls: certificate, auth: []string{"LOGIN"}, password: mailPassword}, implicit, false, "", ""},
		"PLAIN, implicit":                   {mailHabits{implicit: true, tls: certificate, auth: []string{"PLAIN"}, password: mailPassword}, implicit, false, "", ""},
		"wrong password":                    {mailHabits{implicit: true, tls: certificate, auth: []string{"PLAIN"}, password: "x"}, implicit, false, "status 535 mail server answered 535", "MAIL"},
		"wrong password by LOGIN":           {mailHabits{implicit: true, tls: certificate, auth: []string{"LOGIN"}, password: "x"}, implicit, false, "status 535 mail server answered 535", "MAIL"},
		"neither PLAIN nor LOGIN":           {mailHabits{implicit: true, tls: certificate, auth: []string{"XOAUTH2"}}, implicit, false, "tls 0 mail server offers neither AUTH PLAIN nor AUTH LOGIN", "AUTH"},
		"no AUTH at all":                    {mailHabits{implicit: true, tls: certificate}, implicit, false, "tls 0 mail server offers neither AUTH PLAIN nor AUTH LOGIN", "MAIL"},
		"sender refused":                    {mailHabits{reply: map[string]string{"MAIL": "553 not you"}}, Email{TLS: mailPlain}, false, "status 553 mail server answered 553", "RCPT"},
		"recipient refused":                 {mailHabits{refuse: []string{"ops@example.com"}}, Email{TLS: mailPlain}, false, "status 550 mail server answered 550", "DATA"},
		"message refused":                   {mailHabits{reply: map[string]string{"DATA": "554 no"}}, Email{TLS: mailPlain}, false, "status 554 mail server answered 554", ""},
		"drops at the greeting":             {mailHabits{dropAt: "GREETING"}, Email{TLS: mailPlain}, false, "reset 0 mail server closed the connection", ""},
		"drops at a recipient":              {mailHabits{dropAt: "RCPT"}, Email{TLS: mailPlain}, false, "reset 0 mail server closed the connection", ""},
		"drops in the message":              {mailHabits{dropAt: "."}, Email{TLS: mailPlain}, false, "reset 0 mail server", ""},
		"closes for a recipient":            {mailHabits{reply: map[string]string{"RCPT": "421 closing"}}, Email{TLS: mailPlain}, false, "status 421 mail server answered 421", "DATA"},
		"not SMTP":                          {mailHabits{reply: map[string]string{"GREETING": "HTTP/1.1 400 Bad Request"}}, Email{TLS: mailPlain}, false, "reset 0 mail server does not speak SMTP", "MAIL"},
		"drops instead of saying good-bye":  {mailHabits{dropAt: "QUIT"}, Email{TLS: mailPlain}, false, "", ""},
		"says something else than good-bye": {mailHabits{reply: map[string]string{"QUIT": "500 why?"}}, Email{TLS: mailPlain}, false, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			pool := trust
			if test.distrust {
				pool = x509.NewCertPool()
			}
			r, server := sendMail(t.Context(), t, test.habits, test.email, pool, "it is down")
			server.mu.Lock()
			defer server.mu.Unlock()
			got := strings.TrimSpace(r.Class + " " + strconv.Itoa(r.Status) + " " + r.Error)
			if test.want == "" && (r.Status != 250 || r.Class != "" || len(server.got) != 1) || test.want != "" && (!strings.HasPrefix(got, test.want) || len(server.got) != 0) {
				t.Errorf("%q, %d messages, want %q", got, len(server.got), test.want)
			}
			said := strings.Join(server.said, "\n")
			if test.unsaid != "" && strings.Contains(said, test.unsaid) || strings.Contains(r.Error, mailPassword) || strings.Contains(r.Error, "\n") {
				t.Errorf("said:\n%s\nerror: %s", said, r.Error)
			}
		})
	}
}

// TestMailServerHangs ends with the attempt's time, wherever the server stops to answer.
func TestMailServerHangs(t *testing.T) {
	certificate, trust := mailCertificate(t)
	for _, at := range []string{"GREETING", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "."} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		r, server := sendMail(ctx, t, mailHabits{starttls: true, tls: certificate, hangAt: at}, Email{}, trust, "x")
		cancel()
		server.mu.Lock()
		if r.Class != delivery.ClassTimeout || len(server.got) != 0 {
			t.Errorf("%s: %+v, %d messages", at, r, len(server.got))
		}
		server.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if r, _ := sendMail(ctx, t, mailHabits{hangAt: "GREETING"}, Email{TLS: mailImplicit}, trust, "x"); r.Class != delivery.ClassTimeout {
		t.Errorf("handshake: %+v", r)
	}
}

// TestMailToThoseWhoCanHaveIt: one address that is no more does not keep the message from the others.
func TestMailToThoseWhoCanHaveIt(t *testing.T) {
	t.Run("refused for the moment", func(t *testing.T) {
		server := startMailServer(t, mailHabits{})
		m, err := newMailer(&Email{TLS: mailPlain, To: []string{"ops@example.com", "chef@example.com"}, From: "a@b", Server: server.address}, "page")
		if err != nil {
			t.Fatal(err)
		}
		try := &delivery.Try{Event: &queue.Event{ID: 1, Body: []byte(`{"summary":"x"}`), ReceivedAt: time.Unix(1, 0)}}
		for try.Attempt = 1; try.Attempt <= 3; try.Attempt++ {
			server.mu.Lock()
			server.once = "452 mailbox is full"
			server.mu.Unlock()
			r := m.Forward(t.Context(), try)
			if waits := try.Attempt < 3; waits && r.Status != 452 || !waits && (r.Status != 250 || len(r.Response) == 0) {
				t.Errorf("attempt %d: %+v", try.Attempt, r)
			}
		}
		if got := server.await(t, 1); len(got) != 1 || !strings.Contains(got[0], "chef@") || strings.Contains(strings.Split(got[0], "\n\n")[0], "ops@") {
			t.Errorf("%v", got)
		}
	})
	r, server := sendMail(t.Context(), t, mailHabits{refuse: []string{"gone@example.com"}},
		Email{TLS: mailPlain, To: []string{"gone@example.com", "ops@example.com", "Chef <chef@example.com>"}}, nil, "x")
	if r.Status != 250 || string(r.Response) != "mail server refused 1 of 3 recipients" {
		t.Errorf("%+v %s", r, r.Response)
	}
	if got := server.await(t, 1)[0]; !strings.Contains(got, "RCPT TO:<ops@example.com>\nRCPT TO:<chef@example.com>\n\n") {
		t.Errorf("%s", got)
	}
}

// TestMailHasNoForeignHeaders: neither what happens nor what is configured becomes a header, a command or an end of the message.
func TestMailHasNoForeignHeaders(t *testing.T) {
	for _, summary := range []string{
		"down\r\nBcc: victim@example.com\r\n\r\nhello", "down\nBcc: victim@example.com", "down\rBcc: x", "x\r\n.\r\nMAIL FROM:<a@b>\r\n", "nul\x00 and é", strings.Repeat("é\r\n", 500), strings.Repeat("long ", 400),
	} {
		r, server := sendMail(t.Context(), t, mailHabits{}, Email{TLS: mailPlain}, nil, summary)
		if r.Status != 250 {
			t.Fatalf("%+v", r)
		}
		got := server.await(t, 1)
		_, text, _ := strings.Cut(got[0], "\n\n")
		message, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil || len(got) != 1 {
			t.Fatalf("%d messages, %v", len(got), err)
		}
		if len(message.Header) != 9 || message.Header.Get("Bcc") != "" {
			t.Errorf("%q: headers %v", summary, message.Header)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject"))
		if err != nil || !strings.HasPrefix("[sluice] "+summary, strings.TrimSuffix(subject, "…")) {
			t.Errorf("%q: subject %q %v", summary, subject, err)
		}
		for line := range strings.Lines(text) {
			if len(line) > 998 {
				t.Errorf("a line has %d bytes", len(line))
			}
		}
		if body, err := io.ReadAll(message.Body); err != nil || !strings.Contains(string(body), "state:") {
			t.Errorf("%q: body %s %v", summary, body, err)
		}
		server.mu.Lock()
		if said := strings.Join(server.said, "\n"); strings.Count(said, "MAIL") != 1 || strings.Contains(said, "victim") {
			t.Errorf("%q: said %s", summary, said)
		}
		server.mu.Unlock()
	}
	for _, address := range []string{
		"ops@example.com\r\nBcc: victim@example.com", "ops@example.com>\r\nRCPT TO:<victim@example.com", "\"a\r\nb\"@example.com", "Ops\r\nBcc: x <ops@example.com>", "\"Ops\r\nBcc: x\" <ops@example.com>",
	} {
		for _, e := range []Email{{To: []string{address}, From: "a@b"}, {To: []string{"a@b"}, From: address}} {
			e.Server, e.TLS = "127.0.0.1:25", mailPlain
			if _, err := newMailer(&e, "page"); err == nil {
				t.Errorf("%q is taken for an address", address)
			}
		}
	}
}

func TestMailDefaults(t *testing.T) {
	for server, want := range map[string]string{"mail.example.com:25": mailStartTLS, "mail.example.com:587": mailStartTLS, "mail.example.com:465": mailImplicit} {
		if m, err := newMailer(&Email{To: []string{"a@b"}, From: "a@b", Server: server}, "page"); err != nil || m.TLS != want {
			t.Errorf("%s: %+v %v", server, m, err)
		}
	}
	m := &mailer{}
	if r := m.Forward(t.Context(), &delivery.Try{Event: &queue.Event{ID: 1, Body: []byte("[")}}); !r.Permanent {
		t.Errorf("%+v", r)
	}
}
