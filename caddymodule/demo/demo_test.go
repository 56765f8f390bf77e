package demo_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/sluice-webhooks/sluice/caddymodule"
	"github.com/sluice-webhooks/sluice/caddymodule/demo"
)

// isolate gives the test a home and a directory for temporary files of its own, and checks at the end that nothing was left in them.
func isolate(t *testing.T) {
	t.Helper()
	home := t.TempDir()
	for _, name := range []string{"HOME", "TMPDIR", "TMP", "TEMP", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "AppData", "LocalAppData"} {
		t.Setenv(name, home)
	}
	t.Cleanup(func() {
		err := filepath.WalkDir(home, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && path != home {
				t.Errorf("left behind: %s", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestStory runs the whole demo: its own sums must agree, and it must have told of everything that can happen.
func TestStory(t *testing.T) {
	isolate(t)
	var out bytes.Buffer
	err := demo.Run(context.Background(), demo.Options{Out: &out, Now: time.Now})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	text := out.String()
	for _, happening := range []string{"accepted", "duplicate", "refused", "failed", "delivered", "dead", "breaker"} {
		if !regexp.MustCompile(`(?m)^ *[0-9.]+ ` + happening + ` `).MatchString(text) {
			t.Errorf("nothing was %s", happening)
		}
	}
	for _, reason := range []string{
		"somebody changed the body", "played back ten minutes later", "not signed", "guessed token", "far too large", "somebody else's secret",
		"did not answer in time", "hung up", "answered 503", "refuses connections", "cannot be fetched yet", "nine hours old", "not a duplicate",
		"reloaded its configuration", "replays what is dead",
	} {
		if !strings.Contains(text, reason) {
			t.Errorf("the story has nothing with %q", reason)
		}
	}
	if got := strings.Count(text, "\nok "); got != 6 {
		t.Errorf("%d sums agree, want 6", got)
	}
	if strings.Contains(text, "\x1b") {
		t.Error("colours, where none were asked for")
	}
	if regexp.MustCompile(`(?m)^ *[0-9.]+ (warn|error|not stored) `).MatchString(text) {
		t.Error("the gateway complained")
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestInterrupted ends the demo in the middle of the story: it says so, and leaves nothing behind.
func TestInterrupted(t *testing.T) {
	isolate(t)
	ctx, cancel := context.WithCancel(context.Background())
	out := &watched{want: "accepted", found: cancel}
	err := demo.Run(ctx, demo.Options{Out: out, Pace: 10 * time.Millisecond, Now: time.Now})
	if err == nil || strings.Contains(out.String(), "Summary") {
		t.Errorf("error %v, output\n%s", err, out.String())
	}
}

// TestServe keeps it up, tries one of the lines it prints, and ends it.
func TestServe(t *testing.T) {
	isolate(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	serving := make(chan struct{})
	var once sync.Once
	out := &watched{want: "Ctrl-C ends the demo", found: func() { once.Do(func() { close(serving) }) }}
	ended := make(chan error, 1)
	go func() {
		ended <- demo.Run(ctx, demo.Options{Out: out, Serve: true, Color: true, Command: "sluice", Now: time.Now})
	}()
	select {
	case <-serving:
	case err := <-ended:
		t.Fatalf("ended by itself: %v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "sluice webhooks send heyvisa --secret-file ") || !strings.Contains(out.String(), "\x1b[32m") {
		t.Error(out.String())
	}
	m := regexp.MustCompile(`--secret-file (\S+) --to http://127`).FindStringSubmatch(out.String())
	if m == nil {
		t.Fatalf("no line with a secret's file in\n%s", out.String())
	}
	if _, err := os.Stat(m[1]); err != nil {
		t.Errorf("the secret that it points to: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// watched is a buffer that calls found when it holds a text.
type watched struct {
	mu    sync.Mutex
	text  bytes.Buffer
	want  string
	found func()
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.text.Write(p)
	if strings.Contains(w.text.String(), w.want) {
		w.found()
	}
	return n, err
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
