package caddymodule

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestVerifyCaptures has `send` make requests and `verify` read them back, in each form.
func TestVerifyCaptures(t *testing.T) {
	har := func(requests ...string) string {
		return `{"log":{"entries":[` + strings.Join(requests, ",") + `]}}`
	}
	entry := func(at time.Time, body, signature string) string {
		return fmt.Sprintf(`{"startedDateTime":%q,"request":{"method":"POST","url":"https://hooks.example.com/x","headers":[{"name":"HeyVisa-Signature","value":%q},`+
			`{"name":"HeyVisa-Event","value":"a.b"}],"postData":{"mimeType":"application/json","text":%q}}}`, at.Format(time.RFC3339), signature, body)
	}
	// the catalogue's vector: HMAC-SHA256 of "1718099274.{...}" with the secret hvsecret
	const body, signature = `{"type":1,"id":"evt_1"}`, "t=1718099274,v1=68c5da9ba51fb2aac49744bacbf03a98f6b6d08742ae698cbc7dd00596ca76f0"
	signed := time.Unix(1718099274, 0)
	raw := "POST /x HTTP/1.1\r\nHost: hooks.example.com\r\nHeyVisa-Event: a.b\r\nHeyVisa-Signature: " + signature + "\r\n\r\n" + body
	secret := []string{"--secret", "another", "--secret", "hvsecret"}
	for name, tc := range map[string]struct {
		capture string
		args    []string
		code    int
		reason  string
		secret  int
	}{
		"text, time unknown":  {raw, secret, exitOK, "", 2},
		"text, in time":       {raw, append(secret, "--at", "2024-06-11T09:50:00Z"), exitOK, "", 2},
		"text, today":         {raw, append(secret, "--at", "now"), exitFailed, "stale", 0},
		"line feeds only":     {strings.ReplaceAll(raw, "\r\n", "\n"), secret, exitOK, "", 2},
		"curl":                {"curl https://hooks.example.com/x -H 'HeyVisa-Event: a.b' -H 'HeyVisa-Signature: " + signature + "' --data-raw '" + body + "'", secret, exitOK, "", 2},
		"HAR, in time":        {har(entry(signed.Add(time.Minute), body, signature)), secret, exitOK, "", 2},
		"HAR, an hour later":  {har(entry(signed.Add(time.Hour), body, signature)), secret, exitFailed, "stale", 0},
		"another secret":      {raw, []string{"--secret", "another"}, exitFailed, "mismatch", 0},
		"another body":        {raw + " ", secret, exitFailed, "mismatch", 0},
		"no signature":        {strings.Replace(raw, "HeyVisa-Signature", "X-Else", 1), secret, exitFailed, "unsigned", 0},
		"malformed signature": {strings.Replace(raw, "v1=", "v1=zz", 1), secret, exitFailed, "malformed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"verify", "heyvisa", "--request", "-", "--json"}, tc.args...)
			stdout, stderr, code := runHere(t, tc.capture, args...)
			var v verdict
			if err := json.Unmarshal([]byte(stdout), &v); err != nil {
				t.Fatalf("%v: %s%s", err, stdout, stderr)
			}
			if code != tc.code || v.Verifies != (tc.code == exitOK) || v.Reason != tc.reason || v.Secret != tc.secret {
				t.Errorf("exit code %d, %+v", code, v)
			}
			if v.Verifies && (len(v.Events) != 1 || v.Events[0].EventID != "evt_1" || v.Events[0].Type != "1" || !v.SignedAt.Equal(signed)) {
				t.Errorf("%+v", v)
			}
			if !v.Verifies && v.Reason != "malformed" && len(v.Findings) == 0 && name != "another secret" {
				t.Errorf("no finding: %+v", v)
			}
		})
	}
}

// TestVerifyWords checks what people read.
func TestVerifyWords(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "captured")
	text, stderr, code := runSend(t, "", "heyvisa", "--secret", "hv_secret", "--print", "http", "--id", "evt_words", "--to", "https://hooks.example.com/in")
	if code != exitOK {
		t.Fatal(stderr)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"good":      {[]string{"heyvisa", "--secret", "hv_secret", "--at", "now"}, exitOK, []string{"verifies: made with secret 1, signed at ", "event evt_words of type application.approved"}},
		"untimed":   {[]string{"heyvisa", "--secret", "hv_secret"}, exitOK, []string{"the tolerance was left out"}},
		"suspected": {[]string{"heyvisa", "--secret", "other", "--suspect", "no", "--suspect", "hv_secret"}, exitFailed, []string{"does not verify", "because signed with the secret of suspect 2"}},
		"at a loss": {[]string{"heyvisa", "--secret", "other"}, exitFailed, []string{"none of what usually goes wrong"}},
		"elsewhere": {[]string{"heyvisa", "--secret", "hv_secret", "--public-url", "https://other.example.com/prefix"}, exitOK, []string{"verifies"}},
	} {
		stdout, stderr, code := runHere(t, "", append([]string{"verify", "--request", file}, tc.args...)...)
		if code != tc.code {
			t.Errorf("%s: exit code %d: %s%s", name, code, stdout, stderr)
		}
		for _, want := range tc.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s: nothing with %q in\n%s", name, want, stdout)
			}
		}
		if strings.Contains(stdout+stderr, "hv_secret") {
			t.Errorf("%s: shows the secret:\n%s%s", name, stdout, stderr)
		}
	}
	text, _, _ = runSend(t, "", "vericato", "--print", "curl")
	if stdout, _, code := runHere(t, text, "verify", "vericato", "--request", "-"); code != exitOK || !strings.Contains(stdout, "signs nothing") {
		t.Errorf("unsigned: exit code %d: %s", code, stdout)
	}
}

// TestVerifyPublicURL verifies a signature over the address that the provider knows, of a request captured behind another proxy.
func TestVerifyPublicURL(t *testing.T) {
	set := []string{"--set", "header X-Signature", "--set", `signed "{url}.{body}"`, "--set", "event_id json:id"}
	text, stderr, code := runSend(t, `{"id":"e1"}`, append([]string{
		"hmac", "--secret", "s", "--data", "-", "--print", "http", "--to", "http://10.0.0.1:8080/in", "--public-url", "https://hooks.example.com/base/in",
	}, set...)...)
	if code != exitOK {
		t.Fatal(stderr)
	}
	for public, want := range map[string]int{"": exitFailed, "https://hooks.example.com/base": exitOK, "https://hooks.example.com": exitFailed} {
		args := append([]string{"verify", "hmac", "--secret", "s", "--request", "-", "--public-url", public}, set...)
		if stdout, stderr, code := runHere(t, text, args...); code != want {
			t.Errorf("%q: exit code %d: %s%s", public, code, stdout, stderr)
		}
	}
}

// TestVerifyHandshake knows a question of a provider from an event.
func TestVerifyHandshake(t *testing.T) {
	capture := "POST /slack HTTP/1.1\nHost: hooks.example.com\nContent-Type: application/json\n\n" + `{"type":"url_verification","challenge":"x","token":"t"}`
	stdout, stderr, _ := runHere(t, capture, "verify", "slack", "--secret", "s", "--request", "-", "--json")
	var v verdict
	if err := json.Unmarshal([]byte(stdout), &v); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	if v.Handshake == (v.Reason != "") { // answered at once, or refused because it is signed: in neither case an event
		t.Errorf("%+v", v)
	}
	if len(v.Events) != 0 {
		t.Errorf("a handshake became an event: %+v", v)
	}
}

func TestVerifyUsage(t *testing.T) {
	for name, tc := range map[string]struct {
		args  []string
		stdin string
		want  string
	}{
		"no provider":      {nil, "", "accepts 1 arg"},
		"no request":       {[]string{"heyvisa", "--secret", "very-secret"}, "", "want --request"},
		"no secret":        {[]string{"heyvisa", "--request", "-"}, "x", "needs its signing secret"},
		"not a capture":    {[]string{"heyvisa", "--secret", "very-secret", "--request", "-"}, "hello", "captured request is not readable"},
		"empty":            {[]string{"heyvisa", "--secret", "very-secret", "--request", "-"}, "", "it is empty"},
		"bad time":         {[]string{"heyvisa", "--secret", "very-secret", "--request", "-", "--at", "noon"}, "GET / HTTP/1.1\nHost: x\n\n", "want a time such as"},
		"no such entry":    {[]string{"heyvisa", "--secret", "very-secret", "--request", "-", "--entry", "2"}, "GET / HTTP/1.1\nHost: x\n\n", "has 1 requests"},
		"malformed secret": {[]string{"standard", "--secret", "whsec_very-secret!", "--request", "-"}, "x", "secret 1 of standard"},
		"empty suspect":    {[]string{"heyvisa", "--secret", "very-secret", "--suspect", "", "--request", "-"}, "x", "is empty"},
	} {
		_, stderr, code := runHere(t, tc.stdin, append([]string{"verify"}, tc.args...)...)
		if code != exitUsage || !strings.Contains(stderr, tc.want) || strings.Contains(stderr, "very-secret") {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
	if _, stderr, code := runHere(t, "", "verify", "heyvisa", "--secret", "x", "--request", filepath.Join(t.TempDir(), "none")); code != exitFailed || !strings.Contains(stderr, "--request") {
		t.Errorf("a missing file: exit code %d, %s", code, stderr)
	}
}
