package caddymodule

import (
	"fmt"
	"io"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// TestAlertByEmail goes from the beginning of an outage to its end; the first try is refused for the moment and made again by the engine.
func TestAlertByEmail(t *testing.T) {
	server := startMailServer(t, mailHabits{})
	server.once = "451 try again"
	startGateway(t, fmt.Sprintf("alert page {\n on silent stripe 1m\n email ops@example.com \"Chef <chef@example.com>\" {\n server %s\n from \"Sluice <sluice@example.com>\"\n tls none\n }\n}", server.address),
		"webhook stripe {\n secret "+testSecret+"\n}")
	rt := lookOverTwoMinutes(t)
	page, err := rt.store.Events(t.Context(), queue.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first try is refused", func() bool {
		attempts, err := rt.store.Attempts(t.Context(), page.Events[0].Event.ID, "mail:page")
		return err == nil && len(attempts) == 1 && attempts[0].Status == 451 && attempts[0].Error == "mail server answered 451"
	})
	if err := rt.store.Replay(t.Context(), page.Events[0].Event.ID, "mail:page", ""); err != nil { // sooner than the engine would
		t.Fatal(err)
	}
	envelope, text, _ := strings.Cut(server.await(t, 1)[0], "\n\n")
	if envelope != "MAIL FROM:<sluice@example.com> BODY=8BITMIME\nRCPT TO:<ops@example.com>\nRCPT TO:<chef@example.com>" {
		t.Errorf("envelope: %s", envelope)
	}
	message, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject"))
	if err != nil || subject != "[sluice] source stripe has brought no event for more than 1m0s" {
		t.Errorf("subject %q %v", subject, err)
	}
	if from := message.Header.Get("From"); from != `"Sluice" <sluice@example.com>` || message.Header.Get("Message-Id") != "<"+page.Events[0].Event.ID.String()+"@example.com>" {
		t.Errorf("headers: %v", message.Header)
	}
	body, err := io.ReadAll(message.Body)
	if err != nil || !strings.Contains(string(body), "condition: silent\nsubject:   stripe\n") {
		t.Errorf("body: %s %v", body, err)
	}
}

func TestEmailIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		"email ops {\n server s:25\n from a@b\n}":                                   "want an address such as ops@example.com",
		"email a@b {\n server s\n from a@b\n}":                                      "want one with its port",
		"email a@b {\n server s:25\n}":                                              "from \"\"",
		"email a@b {\n server s:25\n from a@b\n tls maybe\n}":                       "tls \"maybe\"",
		"email a@b {\n server s:25\n from a@b\n tls none\n auth u p\n}":             "not sent without tls",
		"email a@b {\n server s:25\n from a@b\n auth u {env.SLUICE_NO_SUCH_KEY}\n}": "is not set",
		"email a@b {\n port 25\n}":                                                  "unrecognized option 'port'",
		"email a@b {\n server s:25\n from a@b\n}\n to x":                            "both email and a destination",
	} {
		g := &testGateway{t: t, addr: "127.0.0.1:1", dir: t.TempDir()}
		config, err := adapt(g.caddyfile("alert page {\n on dead\n "+text+"\n}", "webhook stripe {\n secret x\n}"))
		if err == nil {
			err = validate(config)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestAlertOnOldSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(testSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	r := startAlerts(t, "on secret_old 90d", "webhook stripe {\n secret {file."+file+"} literal\n}")
	r.look(time.Hour)
	r.look(100 * 24 * time.Hour)
	if m := r.messages(1); m.Kind != "secret_old" || !strings.HasPrefix(m.Summary, "the file of secret 1 of source stripe was not changed for more than ") || m.Subject != "stripe/1" || strings.Contains(m.Summary, testSecret) {
		t.Errorf("%+v", m)
	}
	if err := os.Chtimes(file, r.at, r.at); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, r.at, r.at); err != nil {
		t.Fatal(err)
	}
	r.app.source("stripe").secrets.get(time.Now().Add(time.Hour))
	r.look(time.Minute)
	if m := r.messages(2); m.State != "resolved" {
		t.Errorf("%+v", m)
	}
}
