package caddymodule

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// TestStoreOptionsChangeWithReload changes limits of the store while it is open; what cannot be changed is refused, and the gateway goes on as before.
func TestStoreOptionsChangeWithReload(t *testing.T) {
	rig := startAdmin(t, "badger", "", "")
	site := "handle /pay {\n webhook stripe {\n name payments\n secret " + testSecret + "\n forward http://127.0.0.1:1/\n }\n}\n"
	load := func(options string) error {
		text := strings.Replace(rig.config("", site), "min_free 1KiB", options, 1)
		config, err := adapt(text)
		if err == nil {
			err = caddy.Load(config, true)
		}
		http.DefaultClient.CloseIdleConnections()
		return err
	}
	sent := 0
	accepted := func() bool {
		sent++
		body := strings.Replace(stripeEvent, "evt_1", "evt_"+strings.Repeat("x", sent), 1)
		for range 20 { // a connection that waits at the listener of the old configuration is reset
			signed := signedRequest(t, provider(t, "stripe"), testSecret, "http://"+rig.addr+"/pay", body, time.Now())
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, signed.URL.String(), strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = signed.Header
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				continue
			}
			if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
				t.Fatalf("answer %d, %v", resp.StatusCode, err)
			}
			return resp.StatusCode == http.StatusOK
		}
		t.Fatal("no answer")
		return false
	}
	for _, step := range []struct {
		options string
		accepts bool
	}{
		{"min_free 1KiB", true}, {"min_free 100TiB", false}, {"min_free 1KiB", true}, {"max_pending 1", false}, {"max_pending 1000", true},
	} {
		if err := load(step.options); err != nil {
			t.Fatalf("%s: %v", step.options, err)
		}
		if got := accepted(); got != step.accepts {
			t.Errorf("%s: accepts events: %v", step.options, got)
		}
		if step.options == "min_free 100TiB" {
			found, ok := noteAbout(get[checkup](rig, "/webhooks/doctor"), "store", "", "new events are refused with 503: store is full")
			if !ok || found.Level != levelFail {
				t.Errorf("the doctor says %+v", found)
			}
		}
	}
	if err := load("max_size 1MiB"); err == nil || !strings.Contains(err.Error(), "max_size: a limit of 1 MiB for the store's size is too low") {
		t.Errorf("a size that the store's files need for themselves: %v", err)
	}
	if !accepted() {
		t.Error("after the refused max_size the gateway does not go on as before")
	}
	for options, part := range map[string]string{
		"encryption_key 00112233445566778899aabbccddeeff": "encryption_key cannot be changed while",
		"durability os": "durability cannot be changed while",
	} {
		if err := load(options + "\n min_free 100TiB"); err == nil || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), "restart") {
			t.Errorf("%s: %v", options, err)
		}
		if !accepted() {
			t.Errorf("after the refused %s the gateway does not go on as before", options)
		}
	}
	moved, err := adapt(strings.Replace(rig.config("", site), "store badger \""+rig.dir+"\"", "store badger \""+t.TempDir()+"\"", 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(moved, true); err == nil || !strings.Contains(err.Error(), "stop Caddy, move the directory") {
		t.Errorf("another directory: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
	if !accepted() {
		t.Error("after the refused move the gateway does not go on as before")
	}
}

// TestStoreDoesNotMoveWithReload: not even where nothing is pending at this moment, because something may be in the next.
func TestStoreDoesNotMoveWithReload(t *testing.T) {
	rig := startAdmin(t, "badger", "", "")
	site := "handle /pay {\n webhook stripe {\n name payments\n secret " + testSecret + "\n forward http://127.0.0.1:1/\n }\n}\n"
	elsewhere := filepath.Join(t.TempDir(), "not", "there")
	moved, err := adapt(strings.Replace(rig.config("", site), "store badger \""+rig.dir+"\"", "store badger \""+elsewhere+"\"", 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(moved, true); err == nil || !strings.Contains(err.Error(), "stop Caddy, move the directory") {
		t.Errorf("another directory: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(elsewhere)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the refused directory was made: %v", err)
	}
}

// TestStoreKey: a directory is one and the same store by whatever path, whether it is there already or not.
func TestStoreKey(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "real"), link); err != nil {
		t.Skip(err) // Windows lets not everybody
	}
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	key := func(path string) string {
		t.Helper()
		key, err := (&BadgerStore{dir: path}).Key()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	before := key(filepath.Join(link, "a", "b"))
	if err := os.MkdirAll(filepath.Join(dir, "real", "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if after, real := key(filepath.Join(link, "a", "b")), key(filepath.Join(dir, "real", "a", "b")); before != after || after != real {
		t.Errorf("three keys of one directory: %s, %s, %s", before, after, real)
	}
}
