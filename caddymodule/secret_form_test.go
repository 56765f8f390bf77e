package caddymodule

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// TestSecretForm checks that a secret which is not written as the provider's are is a mistake of the configuration, and that a file which becomes
// one leaves the last good value live.
func TestSecretForm(t *testing.T) {
	t.Setenv("BROKEN_SECRET", "whsec_not-base64!")
	g := &testGateway{t: t, addr: freeAddr(t), dir: t.TempDir()}
	err := g.load("", "webhook standard {\n secret {env.BROKEN_SECRET}\n}")
	if err == nil || !strings.Contains(err.Error(), "{env.BROKEN_SECRET}") || strings.Contains(err.Error(), "not-base64") {
		t.Errorf("loading: %v", err)
	}
	t.Setenv("BROKEN_SECRET", "only-a-password")
	err = g.load("", "webhook basic {\n name credentials\n secret {env.BROKEN_SECRET}\n}")
	if err == nil || !strings.Contains(err.Error(), "credentials") || !strings.Contains(err.Error(), "user:password") || strings.Contains(err.Error(), "only-a-password") {
		t.Errorf("basic: %v", err)
	}

	path := filepath.Join(t.TempDir(), "secret")
	write := func(text string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	const good, better = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	write(good, time.Hour)
	set, err := newSecretSet([]string{fmt.Sprintf("{file.%s}", path)}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := set.require(provider(t, "standard").CheckSecret); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	for i, step := range []struct{ text, live string }{{"whsec_not-base64!", good}, {better, better}} {
		write(step.text, time.Duration(30-i)*time.Minute)
		at = at.Add(2 * secretFileCheck)
		if live := set.get(at); len(live) != 1 || string(live[0].Bytes()) != step.live {
			t.Errorf("step %d: another secret is live", i)
		}
	}
}

// TestSecretFileChanges checks that a file is known by what is in it: size and time may be those of the file before.
func TestSecretFileChanges(t *testing.T) {
	dir := t.TempDir()
	at := time.Now()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(dir, name), time.Time{}, at); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target string) { // as Kubernetes does it: another link is renamed over the old one
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, "next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "secret")); err != nil {
			t.Fatal(err)
		}
	}
	write("first", "secret-1")
	write("second", "secret-2")
	link("first")
	placeholder := "{file." + filepath.Join(dir, "secret") + "}"
	set, err := newSecretSet([]string{placeholder, "Bearer " + placeholder + "."}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name   string
		change func()
		live   string
	}{
		{"another file behind the link", func() { link("second") }, "secret-2"},
		{"written in place", func() { write("second", "secret-3") }, "secret-3"},
		{"empty", func() { write("second", "") }, "secret-3"},
		{"gone", func() { link("nowhere") }, "secret-3"},
		{"back", func() { link("first") }, "secret-1"},
	} {
		step.change()
		if live := set.get(at); string(live[0].Bytes()) != step.live || string(live[1].Bytes()) != "Bearer "+step.live+"." {
			t.Errorf("%s: another secret is live", step.name)
		}
		set.checked = time.Time{}
	}
}

// TestSecretPlaceholders checks what of a configured secret is a placeholder, and that nothing else of it stands in an error.
func TestSecretPlaceholders(t *testing.T) {
	t.Setenv("SLUICE_SECRET", "s3cret\r\n")
	file := filepath.Join(t.TempDir(), "a secret")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for config, want := range map[string]struct{ value, label, problem string }{
		"{env.SLUICE_SECRET}":                           {value: "s3cret", label: "{env.SLUICE_SECRET}"},
		"user:{env.SLUICE_SECRET}x":                     {value: "user:s3cretx", label: "{env.SLUICE_SECRET}"},
		"{env.SLUICE_SECRET}{file." + file + "}":        {value: "s3cretfrom-file", label: "{env.SLUICE_SECRET}{file." + file + "}"},
		"{file." + file + "}":                           {value: "from-file", label: "{file." + file + "}"},
		"plain":                                         {value: "plain", label: "(literal)"},
		`pa{ss.w0}rd\{`:                                 {value: `pa{ss.w0}rd\{`, label: "(literal)"},
		`{"kty":"oct","k":"s3cr3t.value"}`:              {value: `{"kty":"oct","k":"s3cr3t.value"}`, label: "(literal)"},
		`{"kty":"oct","k":"{env.SLUICE_SECRET}.x"}`:     {value: `{"kty":"oct","k":"s3cret.x"}`, label: "{env.SLUICE_SECRET}"},
		"{evn.SLUICE_SECRET}":                           {label: "(literal)", problem: "looks like a placeholder"},
		"hidden{env.SLUICE_SECRET}{file." + file + "2}": {label: "{env.SLUICE_SECRET}{file." + file + "2}", problem: "{file." + file + "2} cannot be read"},
		"hidden{env.SLUICE_SECRET_NOT_SET}":             {label: "{env.SLUICE_SECRET_NOT_SET}", problem: "is not set"},
		"hidden{http.request.uri.path.file.a_secret}":   {label: "{http.request.uri.path.file.a_secret}", problem: "{file./absolute/path}"},
	} {
		s, err := newSecretSource(config)
		switch {
		case want.problem == "" && (err != nil || string(s.value) != want.value || s.label() != want.label):
			t.Errorf("%s: %v, %+v", config, err, s)
		case want.problem != "" && (err == nil || !strings.HasPrefix(err.Error(), "secret "+want.label+": ") || !strings.Contains(err.Error(), want.problem) ||
			strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "evn")):
			t.Errorf("%s: %v", config, err)
		}
	}
}
