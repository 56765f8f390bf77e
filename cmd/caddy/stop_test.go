package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStopWithLivePage stops the gateway while a browser looks on: it must not wait until the page is closed, with its ports shut.
func TestStopWithLivePage(t *testing.T) {
	g := newProcess(t, "http://127.0.0.1:9")
	config, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	config = bytes.Replace(config, []byte("\twebhook github {"), []byte("\twebhooks_dashboard /dash*\n\twebhook github {"), 1)
	if err := os.WriteFile(g.config, config, 0o600); err != nil {
		t.Fatal(err)
	}
	g.start(t)
	page := g.look(t, "/dash/live")
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(page)
	if err != nil || !strings.Contains(string(rest), "event: end\n") {
		t.Errorf("after SIGTERM the page was told %q (%v)", rest, err)
	}
	if err := g.cmd.Wait(); err != nil {
		t.Errorf("the gateway ended with %v", err)
	}
}

// look opens a stream as soon as the gateway has one, and reads its first line. It is held for two minutes, unless the gateway ends it.
func (p *process) look(t *testing.T, path string) io.Reader {
	t.Helper()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	deadline := time.Now().Add(time.Minute)
	for {
		resp, err := http.Get("http://" + p.addr + path)
		if err == nil && resp.StatusCode == http.StatusOK {
			leave := time.AfterFunc(2*time.Minute, func() { resp.Body.Close() })
			t.Cleanup(func() {
				leave.Stop()
				resp.Body.Close()
			})
			lines := bufio.NewReader(resp.Body)
			if line, err := lines.ReadString('\n'); err != nil || line != ": live\n" {
				t.Fatalf("%s: %q, %v", path, line, err)
			}
			return lines
		}
		if err == nil { // Caddy listens a little before its configuration counts as the running one
			resp.Body.Close()
		}
		if time.Now().After(deadline) {
			t.Fatalf("the gateway does not answer: %v, %v", resp, err)
		}
		<-every.C
	}
}
