package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue/memstore"
)

// secretsOf are the secrets of the source stripe, as the API shows them.
func (rig *adminRig) secretsOf() []secretView {
	rig.t.Helper()
	for _, s := range get[struct{ Sources []sourceView }](rig, "/webhooks/sources").Sources {
		if s.Name == "stripe" {
			return s.Secrets
		}
	}
	rig.t.Fatal("no such source")
	return nil
}

// TestUseOfSecrets follows a rotation: the use of the former secret stays with it when its place changes, over reloads and restarts, and a file with another value
// is another secret.
func TestUseOfSecrets(t *testing.T) {
	const former, next, last = "whsec_former", "whsec_next", "whsec_last"
	file := filepath.Join(t.TempDir(), "secret")
	site := func(secrets string) string { return "webhook stripe {\n secret " + secrets + "\n dedup off\n}" }
	rig := startAdmin(t, "badger", "", site(former))
	send := func(secret string) {
		t.Helper()
		if resp, _ := rig.sendSigned(provider(t, "stripe"), secret, "/", stripeEvent, time.Now()); resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
	}
	want := func(when string, matches ...uint64) {
		t.Helper()
		secrets := rig.secretsOf()
		if len(secrets) != len(matches) {
			t.Fatalf("%s: %+v", when, secrets)
		}
		for i, n := range matches {
			if s := secrets[i]; s.Matches != n || s.LastUsed.IsZero() != (n == 0) || s.Since.IsZero() {
				t.Errorf("%s: %+v, want %v", when, secrets, matches)
			}
		}
	}
	want("new", 0)
	send(former)
	send(former)
	rig.reload("", site(next+" "+former))
	want("beside a new one", 0, 2)
	send(next)
	since := rig.secretsOf()[1].Since
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	rig.reload("", site(former+" "+next))
	want("after a restart", 2, 1)
	if got := rig.secretsOf()[0].Since; !got.Equal(since) {
		t.Errorf("since %v, want %v", got, since)
	}
	wantParts(t, "sources", rig.good("sources"), "HERE FOR")

	if err := os.WriteFile(file, []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	rig.reload("", site("{file."+file+"}"))
	want("in a file", 1)
	if err := os.WriteFile(file, []byte(last), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file's new value is live", func() bool {
		resp, _ := rig.sendSigned(provider(t, "stripe"), last, "/", stripeEvent, time.Now())
		return resp.StatusCode == 200
	})
	want("with another value", 1)
}

// TestUseOfSecretsTellsNothing looks at what the store has of secrets, and loads it again.
func TestUseOfSecretsTellsNothing(t *testing.T) {
	store := memstore.New(memstore.Options{})
	defer store.Close()
	k := keepRollup(store, zap.NewNop())
	at := time.Unix(1_800_000_000, 0)
	k.uses.of("a", []byte("hunter2")).note(at)
	for i := range 2000 { // more than one page
		k.uses.of(fmt.Sprint(i), []byte("hunter2"))
	}
	k.close()
	sum := sha256.Sum256([]byte("hunter2"))
	pages := 0
	err := store.ListMeta(t.Context(), "", "", func(key string, value []byte) bool {
		if text := key + string(value); strings.Contains(text, "hunter2") || strings.Contains(text, hex.EncodeToString(sum[:4])) {
			t.Errorf("%s has the secret", key)
		}
		if strings.HasPrefix(key, metaSecretUses) {
			pages++
		}
		return true
	})
	if err != nil || pages < 2 {
		t.Fatalf("%d pages: %v", pages, err)
	}
	k = keepRollup(store, zap.NewNop())
	defer k.close()
	if use := k.uses.of("a", []byte("hunter2")); use.hits.Load() != 1 || use.last.Load() != at.Unix() || !k.uses.isWhole() {
		t.Errorf("%d uses, last %d", use.hits.Load(), use.last.Load())
	}
	if use := k.uses.of("b", []byte("hunter2")); use.hits.Load() != 0 || use.last.Load() != 0 {
		t.Error("another source's use")
	}
}

// TestUseOfSecretsThatCannotBeRead leaves what the store has alone, and counts from now on.
func TestUseOfSecretsThatCannotBeRead(t *testing.T) {
	store := memstore.New(memstore.Options{})
	defer store.Close()
	k := keepRollup(store, zap.NewNop())
	k.uses.of("a", []byte("x"))
	k.close()
	broken := []byte("[{")
	if err := store.PutMeta(t.Context(), metaSecretUses+"000", broken); err != nil {
		t.Fatal(err)
	}
	k = keepRollup(store, zap.NewNop())
	k.uses.of("a", []byte("x")).note(time.Now())
	k.close()
	if value, err := store.Meta(context.Background(), metaSecretUses+"000"); err != nil || string(value) != string(broken) || k.uses.isWhole() {
		t.Errorf("%s %v", value, err)
	}
}

func TestUseOfSecretsIsBounded(t *testing.T) {
	forward := moveClock(t)
	var uses secretUses
	first := uses.of("s", []byte("first"))
	forward(time.Minute)
	for i := range maxSecretUses + 10 {
		uses.of("s", fmt.Append(nil, i))
		first.note(now().Add(time.Hour))
	}
	if n := len(uses.all()); n != maxSecretUses || uses.of("s", []byte("first")) != first {
		t.Errorf("%d are known; one that is used among them: %v", n, uses.of("s", []byte("first")) == first)
	}
}
