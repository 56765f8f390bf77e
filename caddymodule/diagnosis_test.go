package caddymodule

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// refusedBy sends a request that must be refused and returns it as the quarantine keeps it.
func (g *testGateway) refusedBy(r *verifiers.Request, path string, status int) *refusedRequest {
	g.t.Helper()
	target := path
	if r.URL.RawQuery != "" && !strings.Contains(path, "?") {
		target += "?" + r.URL.RawQuery
	}
	const marker = "X-Test-Request"
	r.Header.Set(marker, uuid.NewString())
	if resp, body := g.do(r.Method, target, r.Header, string(r.Body)); resp.StatusCode != status {
		g.t.Fatalf("%s, want %d: %s", resp.Status, status, body)
	}
	var kept *refusedRequest
	eventually(g.t, "the refused request is kept", func() bool {
		page, _, err := runningQuarantine(g.t).list(g.t.Context(), "", "", "", 100)
		for _, candidate := range page {
			if candidate.Header.Get(marker) == r.Header.Get(marker) {
				kept = candidate
			}
		}
		return err == nil && kept != nil
	})
	return kept
}

func runningQuarantine(t *testing.T) *quarantine {
	t.Helper()
	return runningRuntime(t).quarantine
}

func runningRuntime(t *testing.T) *runtime {
	t.Helper()
	app, err := activeApp()
	if err != nil {
		t.Fatal(err)
	}
	rt, err := app.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

func wantFinding(t *testing.T, r *refusedRequest, code, text string, proved bool) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Code == code && f.Proved == proved && strings.Contains(f.Text, text) {
			return
		}
	}
	t.Errorf("no %s %q (proved %v) for %s in %+v", code, text, proved, r.Error, r.Findings)
}

const (
	diagnosedSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	diagnosedBody   = `{"type":"ping","id":"e1","name":"café","nested":{"b":1,"a":[1,2]}}`
	diagnosedSite   = `
	handle /stripe {
		webhook stripe {
			secret ` + diagnosedSecret + `
		}
	}
	handle /standard {
		webhook standard {
			secret ` + diagnosedSecret + `
		}
	}
	handle /polar {
		webhook polar {
			secret ` + diagnosedSecret + `
		}
	}
	handle /github {
		webhook github {
			secret live
		}
	}
	handle /other {
		webhook github {
			name   other
			secret of-another-source
		}
	}
	handle /slack {
		webhook slack {
			secret live
		}
	}
	handle /dotted {
		webhook hmac {
			name   dotted
			header X_Acme.Signature
			secret live
		}
	}
	handle /by-url* {
		webhook hmac {
			name   by-url
			header X-Signature
			signed "{url}{body}"
			secret live
		}
	}`
)

// TestDiagnosis sends requests that went wrong in each of the usual ways through a running gateway, and reads what the quarantine says of them.
func TestDiagnosis(t *testing.T) {
	g := startGateway(t, "", diagnosedSite)
	for name, tc := range map[string]struct {
		provider, secret, path string
		signed, sent           string // bodies; empty: diagnosedBody
		age                    time.Duration
		change                 func(h http.Header)
		code, text             string
		hint                   bool
	}{
		"another source's secret": {"github", "of-another-source", "/github", "", "", 0, nil, "other_secret", "source other", false},
		"whsec_ not decoded":      {"polar", diagnosedSecret, "/standard", "", "", 0, nil, "secret_form", "used as text", false},
		"whsec_ decoded":          {"standard", diagnosedSecret, "/polar", "", "", 0, nil, "secret_form", "decoded from base64, whsec_ removed first", false},
		"whsec_ cut off":          {"stripe", strings.TrimPrefix(diagnosedSecret, "whsec_"), "/stripe", "", "", 0, nil, "secret_form", "without whsec_ in front", false},
		"line break added":        {"github", "live", "/github", "", diagnosedBody + "\n", 0, nil, "body", "without its trailing line break", false},
		"line break cut off":      {"github", "live", "/github", diagnosedBody + "\n", "", 0, nil, "body", "with a trailing line break", false},
		"CRLF":                    {"github", "live", "/github", "{\n\"a\":1\n}", "{\r\n\"a\":1\r\n}", 0, nil, "body", "LF in place of CRLF", false},
		"indented":                {"github", "live", "/github", `{"a":1}`, "{\n  \"a\": 1\n}", 0, nil, "body", "compact JSON", false},
		"sorted":                  {"github", "live", "/github", `{"a":1,"b":2}`, `{"b":2,"a":1}`, 0, nil, "body", "sorted keys", false},
		"spaces":                  {"github", "live", "/github", `{"a": 1, "b": 2}`, `{"a":1,"b":2}`, 0, nil, "body", "as Python writes it", false},
		"unescaped":               {"github", "live", "/github", strings.ReplaceAll(diagnosedBody, "é", `\u00e9`), "", 0, nil, "body", `\uXXXX: something unescaped`, false},
		"escaped":                 {"github", "live", "/github", "", strings.ReplaceAll(diagnosedBody, "é", `\u00e9`), 0, nil, "body", `\uXXXX as characters`, false},
		"charset":                 {"github", "live", "/github", "", strings.ReplaceAll(diagnosedBody, "é", "\xe9"), 0, nil, "body", "ISO 8859-1", false},
		"late":                    {"stripe", diagnosedSecret, "/stripe", "", "", time.Hour, nil, "clock_skew", "before it arrived, 5m0s is allowed", false},
		"clock behind":            {"standard", diagnosedSecret, "/standard", "", "", -time.Hour, nil, "clock_skew", "after it arrived, 5m0s is allowed", false},
		"absent": {"github", "live", "/github", "", "", 0, func(h http.Header) { h.Del("X-Hub-Signature-256") },
			"header_absent", "X-Hub-Signature-256", true},
		"only a legacy one": {"github", "live", "/github", "", "", 0, func(h http.Header) {
			h.Del("X-Hub-Signature-256")
			h.Set("X-Hub-Signature", "sha1=aa")
		}, "legacy_signature", "X-Hub-Signature", true},
		"dropped by a server": {"github", "live", "/dotted", "", "", 0, nil, "header_at_risk", "underscore or a dot", true},
		"renamed by a server": {"github", "live", "/dotted", "", "", 0, func(h http.Header) { h.Set("X-Acme-Signature", "aa") },
			"header_renamed", "X-Acme-Signature is there instead", true},
		"another version": {"slack", "live", "/slack", "", "", 0, func(h http.Header) {
			h.Set("X-Slack-Signature", "v1="+strings.TrimPrefix(h.Get("X-Slack-Signature"), "v0="))
		}, "other_version", `begins with "v1="`, true},
		"another scheme": {"stripe", "live", "/dotted", "", "", 0, func(h http.Header) {
			_, signature, _ := strings.Cut(h.Get("Stripe-Signature"), "v1=")
			h.Set("X_acme.signature", signature)
		}, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			g.t = t
			signed, sent := tc.signed, tc.sent
			if signed == "" {
				signed = diagnosedBody
			}
			if sent == "" {
				sent = diagnosedBody
			}
			r := signedRequest(t, provider(t, tc.provider), tc.secret, "http://"+g.addr+tc.path, signed, time.Now().Add(-tc.age))
			r.Body = []byte(sent)
			if tc.change != nil {
				tc.change(r.Header)
			}
			kept := g.refusedBy(r, tc.path, http.StatusUnauthorized)
			if tc.code != "" {
				wantFinding(t, kept, tc.code, tc.text, !tc.hint)
			}
			if text := fmt.Sprint(kept.Findings, kept.Error); strings.Contains(text, tc.secret) && tc.secret != "live" || strings.Contains(text, "café") {
				t.Errorf("a secret or the payload is in %s", text)
			}
		})
	}
}

// TestDiagnosisOfAddresses signs other spellings of the address than the one that arrives.
func TestDiagnosisOfAddresses(t *testing.T) {
	g := startGateway(t, "", diagnosedSite)
	byURL, err := verifiers.Compile(&verifiers.Spec{
		ID: "by_url", Scheme: verifiers.SchemeHMAC, Signature: verifiers.Signature{Names: []string{"X-Signature"}}, Signed: []string{"{url}{body}"},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(g.addr, ":")
	for name, tc := range map[string]struct{ signed, text string }{
		"scheme":      {"https://" + g.addr + "/by-url/in?b=1&a=2", "with https"},
		"host":        {"http://hooks.example.com/by-url/in?b=1&a=2", "another host"},
		"port":        {"http://127.0.0.1/by-url/in?b=1&a=2", "another host (port"},
		"prefix":      {"http://" + g.addr + "/in?b=1&a=2", "without the beginning of the path"},
		"query order": {"http://" + g.addr + "/by-url/in?a=2&b=1", "query in order of names"},
		"no query":    {"http://" + g.addr + "/by-url/in", "without the query"},
		"slash":       {"http://127.0.0.1:" + port + "/by-url/in/?b=1&a=2", "slash at the end"},
	} {
		t.Run(name, func(t *testing.T) {
			g.t = t
			r := signedRequest(t, byURL, "live", tc.signed, "{}", time.Now())
			r.Header.Set("X-Forwarded-Host", "hooks.example.com")
			wantFinding(t, g.refusedBy(r, "/by-url/in?b=1&a=2", http.StatusUnauthorized), "url", tc.text, true)
		})
	}
}

// TestDiagnosisOfPreviousSecret has a secret's file change, and the provider go on with the old one.
func TestDiagnosisOfPreviousSecret(t *testing.T) {
	forward := moveClock(t)
	file := filepath.Join(t.TempDir(), "secret")
	writeSecret(t, file, "old")
	g := startGateway(t, "", fmt.Sprintf("webhook github {\n secret {file.%s}\n}", file))
	github := provider(t, "github")
	send := func(secret string) *verifiers.Request {
		return signedRequest(t, github, secret, "http://x/", "{}", time.Now())
	}
	if resp, _ := g.do("POST", "/", send("old").Header, "{}"); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	writeSecret(t, file, "new-secret")
	forward(2 * secretFileCheck)
	if resp, _ := g.do("POST", "/", send("new-secret").Header, "{}"); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	wantFinding(t, g.refusedBy(send("old"), "/", 401), "previous_secret", "this source had before", true)
}

func writeSecret(t *testing.T, file, value string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReleaseTakesToleranceAtArrival releases a request hours after its signature expired.
func TestReleaseTakesToleranceAtArrival(t *testing.T) {
	forward := moveClock(t)
	file := filepath.Join(t.TempDir(), "secret")
	writeSecret(t, file, "wrong")
	g := startGateway(t, "", fmt.Sprintf("webhook stripe {\n secret {file.%s}\n}", file))
	kept := g.refusedBy(signedRequest(t, provider(t, "stripe"), "right", "http://x/", `{"id":"evt_1","type":"ping"}`, time.Now()), "/", 401)
	stale := g.refusedBy(signedRequest(t, provider(t, "stripe"), "right", "http://x/", `{"id":"evt_2","type":"ping"}`, time.Now().Add(-time.Hour)), "/", 401)
	writeSecret(t, file, "right")
	forward(3 * time.Hour)
	if err := release(t, kept.ID); err != nil {
		t.Errorf("in time when it arrived: %v", err)
	}
	if err := release(t, stale.ID); err == nil {
		t.Error("released although it was stale when it arrived")
	}
}

func release(t *testing.T, id string) error {
	t.Helper()
	app, err := activeApp()
	if err != nil {
		t.Fatal(err)
	}
	_, err = runningRuntime(t).releaseRequest(t.Context(), app, id)
	return err
}

// TestReleaseWithToken releases requests whose address had a token: the token is not kept, and must be live when they are released.
func TestReleaseWithToken(t *testing.T) {
	forward := moveClock(t)
	dir := t.TempDir()
	secret, token := filepath.Join(dir, "secret"), filepath.Join(dir, "token")
	for place, address := range map[string]func(token string) string{
		"path": func(token string) string { return "/in/" + token + "/x%2Fy?b=1&a=2" },
		"query:key": func(token string) string {
			return "/in/x%2Fy?b=1&key=" + strings.ReplaceAll(token, "+", "%2B") + "&a=2"
		},
		"header:X-Token": func(string) string { return "/in/x%2Fy?b=1" },
	} {
		t.Run(place, func(t *testing.T) {
			writeSecret(t, secret, "wrong")
			writeSecret(t, token, "right+token")
			g := startGateway(t, "", fmt.Sprintf(`webhook hmac {
				name   guarded
				header X-Signature
				signed "{url}{body}"
				secret {file.%s}
				token  %s {file.%s}
			}`, secret, place, token))
			byURL, err := verifiers.Compile(&verifiers.Spec{
				ID: "by_url", Scheme: verifiers.SchemeHMAC, Signature: verifiers.Signature{Names: []string{"X-Signature"}}, Signed: []string{"{url}{body}"},
			})
			if err != nil {
				t.Fatal(err)
			}
			send := func(token, body string) *refusedRequest {
				path := address(token)
				r := signedRequest(t, byURL, "right", "http://"+g.addr+path, body, now())
				if place == "header:X-Token" {
					r.Header.Set("X-Token", token)
				}
				return g.refusedBy(r, path, 401)
			}
			signature, early, stranger := send("right+token", `{"n":1}`), send("later-token", `{"n":2}`), send("stranger", `{"n":3}`)
			head, err := runningStore(t).Meta(t.Context(), metaQuarantine+signature.ID)
			if err != nil || place != "header:X-Token" && (bytes.Contains(head, []byte("right+token")) || bytes.Contains(head, []byte("right%2Btoken"))) {
				t.Errorf("the token is kept: %s %v", head, err)
			}
			writeSecret(t, secret, "right")
			forward(2 * secretFileCheck)
			for _, r := range []*refusedRequest{early, stranger} {
				if err := release(t, r.ID); err == nil {
					t.Errorf("%s released without a live token", r.URL)
				}
			}
			if err := release(t, signature.ID); err != nil {
				t.Errorf("the signature is right now: %v", err)
			}
			writeSecret(t, token, "later-token")
			forward(2 * secretFileCheck)
			if err := release(t, early.ID); err != nil {
				t.Errorf("the token is right now: %v", err)
			}
			if err := release(t, stranger.ID); err == nil {
				t.Error("released with a token that was never live")
			}
		})
	}
}

// TestQuarantinePerSource checks that a flood at one source does not keep the requests of another out.
func TestQuarantinePerSource(t *testing.T) {
	at := time.Now()
	setClock(t, func() time.Time { return at })
	g := startGateway(t, "", diagnosedSite)
	flood := signedRequest(t, provider(t, "github"), "forged", "http://x/", "{}", time.Now())
	for range quarantineCount + 50 {
		if resp, _ := g.do("POST", "/github", flood.Header, "{}"); resp.StatusCode != 401 {
			t.Fatal(resp.Status)
		}
	}
	r := signedRequest(t, provider(t, "stripe"), "forged", "http://x/", "{}", time.Now())
	if resp, _ := g.do("POST", "/stripe", r.Header, "{}"); resp.StatusCode != 401 {
		t.Fatal(resp.Status)
	}
	eventually(t, "the other source's request is kept", func() bool {
		page, _, err := runningQuarantine(t).list(t.Context(), "stripe", "", "", 10)
		return err == nil && len(page) == 1
	})
	if n, all := runningQuarantine(t).lost("github"), runningQuarantine(t).lost(""); n != 50 || all != n {
		t.Errorf("%d requests are said to be missing, of all %d", n, all)
	}
}
