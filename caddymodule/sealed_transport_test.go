package caddymodule

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// TestAttemptsAreNotLogged has everything logged at level DEBUG while attempts succeed, fail and break off: the application gets the credentials, the tokens and
// the headers of the provider, and the log none of them.
func TestAttemptsAreNotLogged(t *testing.T) {
	calls := 0
	app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) {
		switch calls++; calls {
		case 1: // the answer breaks off
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("abc"))
		case 2:
			panic(http.ErrAbortHandler)
		case 3:
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	const header, path, query, token, payload = "head-secret", "path-secret", "query-secret", "token-secret", "payload-secret"
	options := fmt.Sprintf("destination d {\n to %s/%s\n header X-Api-Key %s\n format original\n retry exponential 1ms 1ms for 1m\n breaker off\n}", app.URL, path, header)
	site := fmt.Sprintf("webhook gitlab {\n secret %s\n forward d\n}", token)
	g := startGateway(t, options, site)
	log := filepath.Join(t.TempDir(), "log")
	text := strings.Replace(g.caddyfile(options, site), "level ERROR", fmt.Sprintf("level DEBUG\n\t\toutput file %q", log), 1)
	config, err := adapt(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections() // those to the configuration before
	sent := http.Header{"X-Gitlab-Token": {token}, "X-Gitlab-Event": {"Push Hook"}, "Content-Type": {"application/json"}}
	if resp, body := g.do(http.MethodPost, "/?key="+query, sent, `{"object_kind":"`+payload+`"}`); resp.StatusCode != http.StatusOK {
		t.Fatalf("ack: %d %s", resp.StatusCode, body)
	}
	got := app.await(t, 4)
	eventually(t, "the delivery is in the log, that of the new configuration", func() bool {
		return strings.Contains(read(t, log), `"msg":"delivered"`)
	})
	for _, r := range got {
		if r.header.Get("X-Api-Key") != header || r.header.Get("X-Gitlab-Token") != token || !strings.Contains(string(r.body), payload) {
			t.Errorf("the application got %v", r.header)
		}
	}
	text = read(t, log)
	if !strings.Contains(text, "upstream roundtrip") || !strings.Contains(text, "aborting with incomplete response") {
		t.Error("reverse_proxy does not log any more what this test is about")
	}
	for line := range strings.Lines(text) {
		for _, secret := range []string{header, path, query, token, payload} {
			if strings.Contains(line, secret) {
				t.Errorf("%s is in the log: %s", secret, line)
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
