//go:build unix

package caddymodule

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"

	"github.com/sluice-webhooks/sluice/caddymodule/reconcile/reconciletest"
)

// onTerminal runs a verb in a terminal of 80 columns and returns what appeared.
func (rig *adminRig) onTerminal(verb string, args ...string) string {
	rig.t.Helper()
	cmd := process(rig.t, append([]string{"webhooks", verb, "--address", "unix/" + rig.socket}, args...)...)
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		rig.t.Fatal(err)
	}
	defer tty.Close()
	shown := readAll(tty)
	if err := cmd.Wait(); err != nil {
		rig.t.Fatalf("%s: %v\n%s", verb, err, shown)
	}
	return shown
}

// withoutColors removes escape sequences of colours.
func withoutColors(s string) string {
	for _, code := range []string{bold, dim, red, green, yellow, reset} {
		s = strings.ReplaceAll(s, code, "")
	}
	return s
}

func TestCommandsOnTerminal(t *testing.T) {
	rig, _, _ := startOperated(t, "memory")
	long := strings.Repeat("x", 100)
	rig.send("/pay", "evt_"+long, "charge.failed", "")
	rig.send("/pay", "evt_1", "charge.\x1b[31mred", "")
	rig.settledAll("good")
	rig.settledAll("bad")
	for _, verb := range []string{"status", "events", "destinations", "sources", "dead", "providers", "audit"} {
		shown := rig.onTerminal(verb)
		if !strings.Contains(shown, reset) {
			t.Errorf("%s: no colours", verb)
		}
		for line := range strings.SplitSeq(withoutColors(shown), "\r\n") {
			if n := utf8.RuneCountInString(line); n > 80 && !strings.HasPrefix(line, "  !") {
				t.Errorf("%s: line of %d columns: %s", verb, n, line)
			}
		}
		if strings.ContainsRune(withoutColors(shown), 0x1b) {
			t.Errorf("%s: escape sequences reach the terminal: %q", verb, shown)
		}
		if piped := rig.webhooks(verb); strings.ContainsRune(piped.stdout, 0x1b) || piped.code != 0 {
			t.Errorf("%s: colours in a pipe", verb)
		}
	}
	if shown := rig.onTerminal("replay", "evt_1", "--to", "slow"); !strings.Contains(shown, "1 deliveries put back") {
		t.Errorf("replay: %q", shown)
	}
	if shown := rig.onTerminal("show", "evt_1", "--payload"); !strings.Contains(shown, "\r\n  \"id\": \"evt_1\"") {
		t.Errorf("payload is not indented: %q", shown)
	}
	if shown := rig.onTerminal("status", "--json"); !strings.HasPrefix(shown, "{\r\n  \"time\"") {
		t.Errorf("JSON is not indented: %q", shown[:min(len(shown), 40)])
	}
}

// TestLongWorkOnTerminal runs what takes long: a bar on the terminal, nothing of it in what is left there, and none in a pipe.
func TestLongWorkOnTerminal(t *testing.T) {
	stripe := reconciletest.Stripe(t, "sk_1", stripeEvents(150, time.Now().Add(-time.Minute)))
	rig := startAdmin(t, "memory", "", fmt.Sprintf("webhook stripe {\n name payments\n secret %s\n reconcile stripe sk_1 %s\n}", testSecret, stripe.URL))
	if shown := rig.onTerminal("reconcile", "payments", "--dry-run"); !strings.Contains(shown, "\r\x1b[KReconcile payments: page 1, 100 missing, listed 100") ||
		!strings.Contains(withoutColors(shown), "150 are missing") {
		t.Errorf("reconcile: %q", shown)
	}
	rig.good("reconcile", "payments")
	file := filepath.Join(t.TempDir(), "events.jsonl")
	if shown := rig.onTerminal("export", "--output", file); !strings.Contains(shown, "Export ████████████████████░░░░░░░░░░ 100/150") ||
		!strings.HasSuffix(shown, "\r\x1b[KExported 150 events.\r\n") {
		t.Errorf("export: %q", shown)
	}
	if shown := rig.onTerminal("import", file); !strings.Contains(shown, "Import ████████████████████░░░░░░░░░░ 100/150") ||
		!strings.HasSuffix(shown, "\r\x1b[K0 events stored, 150 were there already, of 150 lines.\r\n") {
		t.Errorf("import: %q", shown)
	}
	for _, args := range [][]string{{"reconcile", "payments"}, {"export", "--output", file}, {"import", file}} {
		if o := rig.webhooks(args[0], args[1:]...); o.code != 0 || strings.ContainsAny(o.stdout+o.stderr, "\r\x1b█") {
			t.Errorf("%v in a pipe: %+v", args, o)
		}
	}
}

func TestWatchEndsWithInterrupt(t *testing.T) {
	rig, _, _ := startOperated(t, "memory")
	cmd := process(t, "webhooks", "status", "--watch=100ms", "--address", "unix/"+rig.socket)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for shown := 0; shown < 3 && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "Gateway ") {
			shown++
		}
	}
	interrupt(t, cmd.Process, stdout)
	if err := cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
}

func TestTailFollowsOverReload(t *testing.T) {
	rig, options, site := startOperated(t, "memory")
	cmd := process(t, "webhooks", "tail", "--kind", "request", "--address", "unix/"+rig.socket)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	eventually(t, "tail is there", live.watched)
	rig.send("/pay", "evt_1", "charge.failed", "")
	if !lines.Scan() {
		t.Fatal("no line")
	}
	wantParts(t, "tail", lines.Text(), "request", "payments", "accepted 200", "charge.failed", "evt_1")
	rig.reload(options, site+"handle /new {\n respond 204\n}\n")
	eventually(t, "tail lets go", func() bool { return !live.watched() })
	eventually(t, "tail is back", live.watched)
	rig.do("POST", "/pay", nil, "{}")
	if !lines.Scan() {
		t.Fatal("no line after the reload")
	}
	wantParts(t, "tail", lines.Text(), "request", "payments", "refused 401 unsigned")
	interrupt(t, cmd.Process, stdout)
	if err := cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
}

func interrupt(t *testing.T, p *os.Process, rest io.Reader) {
	t.Helper()
	if err := p.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	readAll(rest)
}
