package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

// TestCredentialForm checks that what cannot be sent to an application is a mistake of the configuration.
func TestCredentialForm(t *testing.T) {
	t.Setenv("LINES", "s3cret\ncomment")
	t.Setenv("COLON", "s3:cret")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("s3cret\ncomment\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const control = "has a line break or another control character"
	for options, want := range map[string]string{
		"bearer {env.LINES}":         "destination d: auth: secret {env.LINES}: " + control,
		"bearer {file." + file + "}": "destination d: auth: secret {file." + file + "}: " + control,
		"basic {env.COLON} x":        "destination d: auth: secret {env.COLON}: has a colon",
		"basic {env.LINES} x":        "destination d: auth: secret {env.LINES}: " + control,
		"basic x {env.LINES}":        "destination d: auth: secret {env.LINES}: " + control,
		"basic x {env.COLON}":        "",
		"oauth2 {\n token_url http://a/\n client_id x\n client_secret {env.LINES}\n}": "destination d: auth: secret {env.LINES}: " + control,
		"header X-Key {env.LINES}":          "destination d: header X-Key: its value " + control,
		"header +X-Key {file." + file + "}": "destination d: header: secret {file." + file + "}: " + control,
		"header X-Key {file." + file + "x}": "destination d: header: secret {file." + file + "x}: cannot be read",
		"header X-Key {env.COLON}":          "",
	} {
		config, err := adapt("{\n webhooks {\n destination d {\n to http://a\n " + options + "\n }\n }\n}\n")
		if err == nil {
			err = validate(config)
		}
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", options, err, want)
		case err != nil && strings.Contains(err.Error(), "cret\n"):
			t.Errorf("%s: the error tells the secret", options)
		}
	}
	for value, want := range map[string]string{"Key {env.LINES}": "enrich: header X-Key: secret {env.LINES}: " + control, "Key {env.COLON}": ""} {
		forward := &Enrich{URL: "http://a/", Headers: map[string]string{"X-Key": value}}
		if err := forward.provision(zap.NewNop()); (err == nil) != (want == "") || err != nil && !strings.HasSuffix(want, err.Error()) {
			t.Errorf("enrich with %s: %v, want %q", value, err, want)
		}
	}
}

// TestCredentialFiles changes the files of credentials while the gateway runs: what cannot be sent leaves the last good value, and it says so.
func TestCredentialFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "{file." + path + "}"
	}
	app := startApplication(t, nil)
	options := "destination bearer {\n to " + app.URL + "/bearer\n bearer " + write("bearer", "one\n") + "\n header X-Key \"{webhook.type} " + write("key", "k1\r\n") + "\"\n}\n" +
		"destination basic {\n to " + app.URL + "/basic\n basic " + write("user", "user") + " " + write("password", "one") + "\n}\n"
	g := startGateway(t, options, "webhook stripe {\n secret "+testSecret+"\n dedup off\n forward bearer\n forward basic\n}")
	running, err := activeApp()
	if err != nil {
		t.Fatal(err)
	}
	var ahead atomic.Int64
	setClock(t, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	problems := func() (all []string) {
		for _, name := range []string{"bearer", "basic"} {
			var v destinationView
			running.Destinations[name].describe(&v)
			all = append(all, v.Failing...)
		}
		return all
	}
	for i, step := range []struct {
		user, secret, key string
		failing           int
		wantBearer        string
		wantKey           string
		wantBasic         string
	}{
		{"user", "one", "k1", 0, "Bearer one", "invoice.paid k1", "Basic dXNlcjpvbmU="},
		{"us:er", "two\ncomment\n", "k2\x00", 4, "Bearer one", "invoice.paid k1", "Basic dXNlcjpvbmU="},
		{"user", "three\n", "k3\n", 0, "Bearer three", "invoice.paid k3", "Basic dXNlcjp0aHJlZQ=="},
	} {
		write("user", step.user)
		write("bearer", step.secret)
		write("password", step.secret)
		write("key", step.key)
		ahead.Store(int64(i+1) * int64(time.Hour)) // the files are looked at anew
		if got := problems(); len(got) != step.failing {
			t.Errorf("step %d: %q", i, got)
		}
		ahead.Store(0)
		sendStripe(t, g, "/")
		got := app.await(t, 2*(i+1))[2*i:]
		for _, r := range got {
			authorization, key := step.wantBearer, step.wantKey
			if r.path == "/basic" {
				authorization, key = step.wantBasic, ""
			}
			if r.header.Get("Authorization") != authorization || r.header.Get("X-Key") != key {
				t.Errorf("step %d: %s got %q and %q", i, r.path, r.header.Get("Authorization"), r.header.Get("X-Key"))
			}
		}
	}
}
