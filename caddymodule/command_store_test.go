package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

// TestStoreCommands checks, backs up, restores and salvages the store of a gateway, running and stopped.
func TestStoreCommands(t *testing.T) {
	rig, _, _ := startOperated(t, "badger")
	for i := range 8 {
		rig.send("/careful", fmt.Sprintf("evt_%d", i), "charge.failed", `,"note":"in-the-payload"`)
	}
	rig.settledAll("bad")
	status := get[statusView](rig, "/webhooks/status")
	wantParts(t, "check", rig.good("store", "check"), "read 8 events", "16 deliveries", "the store is sound")
	var report badgerstore.Report
	if err := json.Unmarshal([]byte(rig.good("store", "check", "--json")), &report); err != nil || !report.Sound || !report.Online || report.Events != 8 {
		t.Errorf("%v: %+v", err, report)
	}
	if got := get[badgerstore.Report](rig, "/webhooks/store/check"); got.Events != 8 {
		t.Errorf("%+v", got)
	}

	file := filepath.Join(t.TempDir(), "backup")
	wantParts(t, "backup", rig.good("store", "backup", file), "8 events", "not encrypted")
	if o := rig.storeVerb("backup", file); o.code != exitUsage || !strings.Contains(o.stderr, "is there already") {
		t.Errorf("over a file: %+v", o)
	}
	wantParts(t, "backup again", rig.good("store", "backup", file, "--force"), "8 events")
	if o := rig.storeVerb("backup", "-"); o.code != 0 || !strings.HasPrefix(o.stdout, "SLUICEB1") || !strings.Contains(o.stderr, "8 events") {
		t.Errorf("to standard output: %d, %q", o.code, o.stderr)
	}
	code, body, header := rig.call("GET", "/webhooks/store/backup", nil)
	if info, err := badgerstore.VerifyBackup(bytes.NewReader(body)); code != 200 || err != nil || info.Events != 8 || header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%d %v %+v", code, err, info)
	}
	audit := get[auditPage](rig, "/webhooks/audit")
	if len(audit.Entries) == 0 || audit.Entries[0].Action != "backup" {
		t.Errorf("audit: %+v", audit)
	}
	dir := rig.dir
	if o := run(t, "store", "check", dir); o.code != exitFailed || !strings.Contains(o.stderr, "is in use by process") || !strings.Contains(o.stderr, "leave the directory out") {
		t.Errorf("a store that is open: %+v", o)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	stoppedStore(t, dir, file, status.Store.Events)
}

// storeVerb runs a verb of `store` that may fail.
func (rig *adminRig) storeVerb(verb string, args ...string) output {
	rig.t.Helper()
	return rig.webhooks("store", append([]string{verb}, args...)...)
}

func goodStore(t testing.TB, args ...string) string {
	t.Helper()
	o := run(t, append([]string{"store"}, args...)...)
	if o.code != 0 || o.stderr != "" {
		t.Fatalf("store %v: code %d, %s", args, o.code, o.stderr)
	}
	return o.stdout
}

// stoppedStore does the same with a directory and a backup.
func stoppedStore(t *testing.T, dir, file string, events uint64) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("00112233445566778899aabbccddeeff\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := fmt.Sprintf("read %d events", events)
	wantParts(t, "check", goodStore(t, "check", dir), read, "the store is sound")
	offline := filepath.Join(t.TempDir(), "offline")
	wantParts(t, "backup", goodStore(t, "backup", offline, "--dir", dir), fmt.Sprintf("%d events", events))
	for _, from := range []string{file, offline} {
		wantParts(t, "restore", goodStore(t, "restore", from, "--dry-run"), "complete and unchanged")
		to := filepath.Join(t.TempDir(), "new")
		wantParts(t, "restore", goodStore(t, "restore", from, "--to", to, "--new-encryption-key", "{file."+key+"}"), "the store is in "+to)
		wantParts(t, "check", goodStore(t, "check", to, "--encryption-key", "{file."+key+"}"), read, "the store is sound")
		if o := run(t, "store", "check", to); o.code != exitFailed || !strings.Contains(o.stderr, "no key was given") {
			t.Errorf("without the key: %+v", o)
		}
		if o := run(t, "store", "restore", from, "--to", to); o.code != exitFailed || !strings.Contains(o.stderr, "is not empty") {
			t.Errorf("over a store: %+v", o)
		}
	}
	if err := os.Remove(filepath.Join(dir, "db", "MANIFEST")); err != nil {
		t.Fatal(err)
	}
	if o := run(t, "store", "check", dir); o.code != exitFailed || o.stderr != "" {
		t.Errorf("damaged: %+v", o)
	} else {
		wantParts(t, "check", o.stdout, "damage manifest db/MANIFEST: is missing", "store salvage", "the store is damaged")
	}
	to := filepath.Join(t.TempDir(), "salvaged")
	wantParts(t, "salvage", goodStore(t, "salvage", dir, "--to", to), "db/MANIFEST: is missing", fmt.Sprintf("carried %d events", events), "the new store is in "+to)
	wantParts(t, "check", goodStore(t, "check", to), read, "the store is sound")
	for _, args := range [][]string{{"salvage", dir}, {"restore", file}, {"odd"}, {"check", "a", "b"}, {"check", "--encryption-key", "x"}, {"restore", file, "--to", "x", "--encryption-key", "short"}} {
		if o := run(t, append([]string{"store"}, args...)...); o.code != exitUsage || !strings.HasPrefix(o.stderr, "Error: ") {
			t.Errorf("%v: %+v", args, o)
		}
	}
	if o := run(t, "store", "check", t.TempDir()); o.code != exitNotFound {
		t.Errorf("no store: %+v", o)
	}
}

func TestStoreRoutesOfAnotherStore(t *testing.T) {
	rig, _, _ := startOperated(t, "memory")
	rig.refused("GET", "/webhooks/store/check", nil, 501, "unsupported")
	rig.refused("GET", "/webhooks/store/backup", nil, 501, "unsupported")
	rig.refused("GET", "/webhooks/store/check?odd=1", nil, 400, "bad_request")
	rig.refused("POST", "/webhooks/store/backup", nil, 405, "method_not_allowed")
}
