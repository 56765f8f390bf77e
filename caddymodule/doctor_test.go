package caddymodule

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// noteAbout returns the finding about a target whose text has a part.
func noteAbout(c checkup, check, target, part string) (healthNote, bool) {
	for _, n := range c.Findings {
		if n.Check == check && n.Target == target && strings.Contains(n.Text, part) {
			return n, true
		}
	}
	return healthNote{}, false
}

func TestDoctor(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		app := startApplication(t, nil)
		secure := httptest.NewTLSServer(http.NotFoundHandler())
		t.Cleanup(secure.Close)
		old := filepath.Join(t.TempDir(), "old")
		if err := os.WriteFile(old, []byte("an old secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(old, time.Time{}, time.Now().Add(-2*oldSecret)); err != nil {
			t.Fatal(err)
		}
		options := fmt.Sprintf("destination up {\n to %s\n}\ndestination down {\n to http://%s/\n}\ndestination tls {\n to %s\n}\n"+
			"destination trusted {\n to %s\n proxy {\n transport http {\n tls_insecure_skip_verify\n }\n }\n}", app.URL, freeAddr(t), secure.URL, secure.URL)
		site := fmt.Sprintf("handle /a {\n webhook github {\n name a\n secret {file.%[1]s}\n forward up\n }\n}\nhandle /b {\n webhook stripe {\n name b\n secret {file.%[1]s} literal\n }\n}\n"+
			"handle /c {\n webhook hmac {\n name c\n secret {file.%[1]s}\n header X_Acme_Signature\n forward up\n }\n}", old)
		rig := startAdmin(t, store, options, site)
		rig.do("POST", "/b", http.Header{"Content-Type": {"application/json"}}, "{}")

		result := get[checkup](rig, "/webhooks/doctor")
		if result.Healthy {
			t.Error("healthy")
		}
		for _, want := range []struct{ check, target, part, level string }{
			{"store", "", "takes a durable write", levelOK},
			{"clock", "", "nothing speaks against it", levelOK},
			{"source", "b", "requests were refused (unsigned", levelFail},
			{"source", "a", "0 events accepted", levelOK},
			{"secret", "b", "stands in the configuration", levelWarn},
			{"secret", "b", "is the same as {file." + old + "} of source a", levelWarn},
			{"secret", "a", "was last changed ", levelWarn},
			{"header", "c", "Caddy drops the header X_Acme_Signature", levelFail},
			{"destination", "up", "takes connections", levelOK},
			{"destination", "down", "cannot be reached: connection refused", levelFail},
			{"destination", "tls", "is not trusted", levelFail},
			{"destination", "trusted", "certificate of", levelOK},
		} {
			if n, ok := noteAbout(result, want.check, want.target, want.part); !ok || n.Level != want.level || n.Level != levelOK && n.Advice == "" {
				t.Errorf("%+v: %+v", want, n)
			}
		}
		for i, n := range result.Findings[1:] {
			if before := result.Findings[i].Level; before != n.Level && (before == levelOK || n.Level == levelFail) {
				t.Errorf("%s after %s", n.Level, before)
			}
		}
		for _, n := range result.Findings {
			if strings.Contains(fmt.Sprint(n), "an old secret") || strings.Contains(fmt.Sprint(n), "literal of") {
				t.Errorf("shows a secret: %+v", n)
			}
		}
		if got := len(app.all()); got != 0 {
			t.Errorf("the application was sent %d requests", got)
		}
		o := rig.webhooks("doctor")
		if o.code != exitFailed || o.stderr != "" {
			t.Errorf("doctor: %+v", o)
		}
		wantParts(t, "doctor", o.stdout, "fail ", "destination down:", "is the application running", "warn ", "ok   ", "failures, ")

		if err := os.Chtimes(old, time.Time{}, time.Now()); err != nil {
			t.Fatal(err)
		}
		rig.reload("destination up {\n to "+app.URL+"\n}", "webhook github {\n name renewed\n secret {file."+old+"}\n forward up\n}")
		if result := get[checkup](rig, "/webhooks/doctor"); !result.Healthy {
			t.Errorf("not healthy: %+v", result)
		}
	})
}

func TestFragileHeaders(t *testing.T) {
	spec := &verifiers.Spec{
		Signature: verifiers.Signature{Names: []string{"X-Plain", "X_Signature"}}, Timestamp: verifiers.Timestamp{In: "header", Names: []string{"X.Time"}},
		Event: verifiers.Event{ID: "header:Event_Id", Type: "json:a_b"}, Signed: []string{"{header.X_Nonce}.{body}"},
	}
	if got, want := fmt.Sprint(fragileHeaders(spec)), "[Event_Id X.Time X_Nonce X_Signature]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestDoctorSecretFiles takes the files of secrets away from a gateway that runs: it goes on, and says that it would not start again.
func TestDoctorSecretFiles(t *testing.T) {
	app := startApplication(t, nil)
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
			t.Fatal(err)
		}
		return "{file." + path + "}"
	}
	options := fmt.Sprintf("destination app {\n to %s\n sign standard %s\n basic sluice %s\n}", app.URL, file("sign"), file("password"))
	site := fmt.Sprintf("webhook github {\n name a\n secret %s\n token path %s\n forward app {\n enrich http://localhost/{json.id} {\n header X-Key %s\n }\n }\n}", file("live"), file("token"), file("key"))
	rig := startAdmin(t, "memory", options, site)
	if o := rig.webhooks("status", "--check"); o.code != exitOK {
		t.Fatalf("status: %+v", o)
	}
	for _, name := range []string{"sign", "password", "live", "token"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, "key"), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the status tells of five secrets", func() bool { return len(get[statusView](rig, "/webhooks/status").Problems) == 5 })

	result := get[checkup](rig, "/webhooks/doctor")
	status := rig.webhooks("status", "--check")
	sources := rig.webhooks("sources")
	if result.Healthy || status.code != exitFailed {
		t.Errorf("all is well: %+v, %+v", result, status)
	}
	for name, target := range map[string]string{"sign": "app", "password": "app", "live": "a", "token": "a", "key": "a"} {
		text := "secret {file." + filepath.Join(dir, name) + "} cannot be read: no such file"
		if name == "key" {
			text = "secret {file." + filepath.Join(dir, name) + "} is empty"
		}
		if n, ok := noteAbout(result, "secret", target, text); !ok || n.Level != levelFail {
			t.Errorf("doctor says nothing of %s: %+v", name, result.Findings)
		}
		wantParts(t, "status", status.stdout, text)
		if target == "a" {
			wantParts(t, "sources", sources.stdout, text)
		}
	}
}

// TestUnusedSecrets checks that a secret is not called unused before it had a day to be used, and another one of its source was.
func TestUnusedSecrets(t *testing.T) {
	at := time.Now()
	ago := func(d time.Duration) time.Time { return at.Add(-d) }
	for name, c := range map[string]struct {
		other, since, used time.Time
		want               int
	}{
		"new":                     {ago(0), ago(5 * time.Second), time.Time{}, 0},
		"not yet":                 {ago(0), ago(23 * time.Hour), time.Time{}, 0},
		"never used":              {ago(0), ago(25 * time.Hour), time.Time{}, 1},
		"used long ago":           {ago(0), ago(99 * time.Hour), ago(25 * time.Hour), 1},
		"used lately":             {ago(0), ago(99 * time.Hour), ago(time.Hour), 0},
		"provider is quiet":       {ago(80 * time.Hour), ago(99 * time.Hour), time.Time{}, 0},
		"neither was ever used":   {time.Time{}, ago(99 * time.Hour), time.Time{}, 0},
		"use of it is not known":  {ago(0), time.Time{}, time.Time{}, 0},
		"provider is quiet again": {ago(70 * time.Hour), ago(99 * time.Hour), time.Time{}, 1},
	} {
		secrets := []secretView{{Label: "new", LastUsed: c.other}, {Label: "old", Since: c.since, LastUsed: c.used}}
		if notes := unusedSecrets(&statusView{Time: at, Sources: []sourceView{{Name: "a", Secrets: secrets}}}); len(notes) != c.want {
			t.Errorf("%s: %+v", name, notes)
		}
	}
}

// TestDoctorGoesByWayOfTheProxy has destinations that are reached through a proxy, and through one that is down: their own addresses tell nothing.
func TestDoctorGoesByWayOfTheProxy(t *testing.T) {
	app, proxy := startApplication(t, nil), startApplication(t, nil)
	down := freeAddr(t)
	const format = "destination %s {\n to %s\n proxy {\n transport http {\n %s\n }\n }\n}\n"
	options := fmt.Sprintf(format, "behind", "https://only-behind.invalid/x", "network_proxy url "+strings.Replace(proxy.URL, "http://", "http://user:hidden@", 1)) +
		fmt.Sprintf(format, "former", "http://only-behind.invalid/x", "forward_proxy_url "+proxy.URL) +
		fmt.Sprintf(format, "cut", app.URL, "network_proxy url http://"+down) +
		fmt.Sprintf(format, "direct", app.URL, "network_proxy none") +
		fmt.Sprintf(format, "wrong", app.URL, "network_proxy url {env.SLUICE_NO_SUCH_PROXY}")
	rig := startAdmin(t, "badger", options, "webhook stripe {\n secret "+testSecret+"\n forward behind\n}")
	result := get[checkup](rig, "/webhooks/doctor")
	for _, want := range []struct{ target, part, level string }{
		{"behind", "requests to only-behind.invalid:443 go by way of the proxy " + strings.TrimPrefix(proxy.URL, "http://") + ", which takes connections", levelOK},
		{"former", "requests to only-behind.invalid:80 go by way of the proxy", levelOK},
		{"cut", "proxy " + down + ", by way of which requests to", levelFail},
		{"direct", strings.TrimPrefix(app.URL, "http://") + " takes connections", levelOK},
		{"wrong", "the address of the proxy for it cannot be used", levelFail},
	} {
		if n, ok := noteAbout(result, "destination", want.target, want.part); !ok || n.Level != want.level || strings.Contains(n.Text, "hidden") {
			t.Errorf("%+v: %+v in %+v", want, n, result.Findings)
		}
	}
	if n := len(proxy.all()); n != 0 {
		t.Errorf("the proxy was sent %d requests", n)
	}
}

// TestDoctorLooksWhereRequestsGo has destinations whose proxy has upstreams of its own: their `to` is only what requests ask for.
func TestDoctorLooksWhereRequestsGo(t *testing.T) {
	app := startApplication(t, nil)
	host, port, err := net.SplitHostPort(strings.TrimPrefix(app.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	const format = "destination %s {\n to http://elsewhere.invalid/x\n proxy {\n %s\n }\n}\n"
	options := fmt.Sprintf(format, "own", "to "+app.URL) + fmt.Sprintf(format, "down", "to http://"+freeAddr(t)) + fmt.Sprintf(format, "found", "dynamic a "+host+" "+port)
	rig := startAdmin(t, "memory", options, "webhook stripe {\n secret "+testSecret+"\n forward own\n}")
	result := get[checkup](rig, "/webhooks/doctor")
	for _, want := range []struct{ target, part, level string }{
		{"own", host + ":" + port + " takes connections", levelOK}, {"down", "cannot be reached", levelFail}, {"found", "found for each request", levelOK},
	} {
		if n, ok := noteAbout(result, "destination", want.target, want.part); !ok || n.Level != want.level {
			t.Errorf("%+v: %+v in %+v", want, n, result.Findings)
		}
	}
}
