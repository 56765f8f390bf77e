package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
)

func TestQuarantineAndRelease(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	app := startApplication(t, nil)
	g := startGateway(t, "", fmt.Sprintf("webhook github {\n secret {file.%s}\n forward %s\n}\nhandle /other {\n webhook stripe {\n name other\n secret right\n}\n}", secret, app.URL))
	body := `{"padding":"` + strings.Repeat("x", 200<<10) + `"}` // larger than one entry of the metadata
	header := signedRequest(t, provider(t, "github"), "right", "http://x/", body, time.Now()).Header
	header.Set("X-Github-Delivery", "d1")
	header.Set("X-Github-Event", "push")
	if resp, _ := g.do(http.MethodPost, "/", header, body); resp.StatusCode != 401 {
		t.Fatal(resp.Status)
	}
	running, err := activeApp()
	if err != nil {
		t.Fatal(err)
	}
	rt, err := running.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var kept []*refusedRequest
	eventually(t, "the refused request is kept", func() bool {
		kept, _, err = rt.quarantine.list(t.Context(), "github", "mismatch", "", 10)
		return err == nil && len(kept) == 1
	})
	if f := kept[0].Findings; len(f) == 0 || f[0].Code != "other_secret" || !f[0].Proved || strings.Contains(f[0].Text, "right") {
		t.Errorf("diagnosis: %+v", f)
	}
	if _, err := rt.releaseRequest(t.Context(), running, kept[0].ID); !errors.Is(err, errNotReleasable) {
		t.Fatalf("released with the wrong secret: %v", err)
	}
	if err := os.WriteFile(secret, []byte("right"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is released once the secret is right", func() bool {
		_, err := rt.releaseRequest(t.Context(), running, kept[0].ID)
		return err == nil
	})
	if got := app.await(t, 1)[0]; !strings.Contains(string(got.body), `"id":"d1"`) || !strings.Contains(string(got.body), body) {
		t.Errorf("delivered %d bytes without the body", len(got.body))
	}
	if _, err := rt.quarantine.get(t.Context(), kept[0].ID); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("still there: %v", err)
	}
}

func TestQuarantineIsBounded(t *testing.T) {
	store := memstore.New(memstore.Options{})
	forward := moveClock(t)
	q := newQuarantine(store, func() time.Duration { return time.Hour }, zap.NewNop())
	app := new(App)
	start := now()
	const others = 20
	for range others { // they are the oldest, and of a source that does not take much
		if err := q.store(t.Context(), &refusedRequest{Source: "other", At: start, Size: 10, body: []byte("0123456789"), app: app}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range quarantineCount + 50 {
		r := &refusedRequest{Source: "s", At: start.Add(time.Duration(i) * time.Millisecond), Size: 10, body: []byte("0123456789"), app: app}
		if err := q.store(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int) {
		for _, prefix := range []string{metaQuarantine, metaQuarantineBody} {
			if err := store.ListMeta(t.Context(), prefix, "", func(string, []byte) bool { n++; return true }); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	if got := count(); got != 2*quarantineCount {
		t.Errorf("%d entries, want %d", got, 2*quarantineCount)
	}
	seen := 0
	for cursor := ""; ; {
		page, next, err := q.list(t.Context(), "", "", cursor, 300)
		if err != nil {
			t.Fatal(err)
		}
		seen += len(page)
		if cursor = next; next == "" {
			break
		}
	}
	if seen != quarantineCount {
		t.Errorf("pages hold %d", seen)
	}
	if page, _, err := q.list(t.Context(), "other", "", "", 100); err != nil || len(page) != others {
		t.Errorf("%d requests of the other source, %v", len(page), err)
	}
	forward(2 * time.Hour)
	late := &refusedRequest{Source: "s", At: now(), app: app}
	if err := q.store(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != 1 {
		t.Errorf("%d entries after all but one grew old", got)
	}
	forward(2 * time.Hour)
	if page, _, err := q.list(t.Context(), "", "", "", 10); err != nil || len(page) != 0 || count() != 0 {
		t.Errorf("%d requests and %d entries after all grew old: %v", len(page), count(), err)
	}
	q.close()
	q.add(late) // after close: nothing happens
}
