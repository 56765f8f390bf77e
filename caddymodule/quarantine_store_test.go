package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
)

// stubbornMeta is a store's metadata that does not take some keys.
type stubbornMeta struct {
	queue.Metadata
	refuses func(key string, value []byte) bool
}

func (m *stubbornMeta) PutMeta(ctx context.Context, key string, value []byte) error {
	if m.refuses != nil && m.refuses(key, value) {
		return errors.New("disk is full")
	}
	return m.Metadata.PutMeta(ctx, key, value)
}

// startQuarantine waits until the quarantine has looked once at what the store has.
func startQuarantine(t *testing.T, meta queue.Metadata) *quarantine {
	t.Helper()
	q := newQuarantine(meta, func() time.Duration { return time.Hour }, zap.NewNop())
	t.Cleanup(q.close)
	eventually(t, "the quarantine is swept", func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.searched
	})
	return q
}

// entriesOf counts what the quarantine has in a store.
func entriesOf(t *testing.T, meta queue.Metadata) (n int) {
	t.Helper()
	for _, prefix := range []string{metaQuarantine, metaQuarantineBody} {
		if err := meta.ListMeta(t.Context(), prefix, "", func(string, []byte) bool { n++; return true }); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func largeRefused() *refusedRequest {
	body := make([]byte, 3*quarantineChunk)
	return &refusedRequest{Source: "s", Method: "POST", URL: "http://x/hooks?a=b", At: now(), Size: len(body), body: body, app: new(App)}
}

// TestQuarantineOfLargeHeaders keeps a request whose address and headers are too large for the store, cut; none of its body is left behind that no bound would count.
func TestQuarantineOfLargeHeaders(t *testing.T) {
	for name, grow := range map[string]func(*refusedRequest){
		"header":  func(r *refusedRequest) { r.Header = http.Header{"X-Big": {strings.Repeat("<", 12000)}} }, // six times as long in JSON
		"address": func(r *refusedRequest) { r.URL += strings.Repeat("<", 12000) },
	} {
		t.Run(name, func(t *testing.T) {
			store := memstore.New(memstore.Options{})
			q := startQuarantine(t, store)
			r := largeRefused()
			grow(r)
			if err := q.store(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			kept, _, err := q.list(t.Context(), "s", "", "", 10)
			if err != nil || len(kept) != 1 || !kept[0].NoHeader || !kept[0].NoBody || kept[0].URL != "http://x/hooks" || kept[0].Size != r.Size {
				t.Errorf("%+v %v", kept, err)
			}
			if n := entriesOf(t, store); n != 1 {
				t.Errorf("%d entries", n)
			}
			rt := &runtime{quarantine: q}
			if _, err := rt.releaseRequest(t.Context(), new(App), r.ID); !errors.Is(err, errNotReleasable) || !strings.Contains(err.Error(), "headers were too large") {
				t.Errorf("released: %v", err)
			}
		})
	}
}

// TestQuarantineOfAFailingStore has the store refuse a request's head: its body, which is there already, is removed, at once or as soon as the store allows it.
func TestQuarantineOfAFailingStore(t *testing.T) {
	store := memstore.New(memstore.Options{})
	meta := &stubbornMeta{Metadata: store}
	q := startQuarantine(t, meta)
	if err := q.store(t.Context(), largeRefused()); err != nil {
		t.Fatal(err)
	}
	whole := entriesOf(t, store)
	for name, stubborn := range map[string]bool{"takes no heads": false, "gives nothing back": true} {
		meta.refuses = func(key string, value []byte) bool {
			return value != nil && strings.HasPrefix(key, metaQuarantine) || value == nil && stubborn
		}
		if err := q.store(t.Context(), largeRefused()); err == nil {
			t.Fatal("store took it")
		}
		meta.refuses = nil
		if stubborn {
			q.sweep()
		}
		if n := entriesOf(t, store); n != whole {
			t.Errorf("%s: %d entries, want %d", name, n, whole)
		}
	}
	page, _, err := q.list(t.Context(), "", "", "", 10)
	if err != nil || len(page) != 1 {
		t.Fatalf("%+v %v", page, err)
	}
	if r, err := q.get(t.Context(), page[0].ID); err != nil || r.NoBody {
		t.Errorf("what was kept is gone: %+v %v", r, err)
	}
}

// TestQuarantinePruningIsTriedAgain has the store not give up a request that is too old: the next sweep removes it, and does not need a restart for it.
func TestQuarantinePruningIsTriedAgain(t *testing.T) {
	store := memstore.New(memstore.Options{})
	meta := &stubbornMeta{Metadata: store}
	forward := moveClock(t)
	q := startQuarantine(t, meta)
	if err := q.store(t.Context(), largeRefused()); err != nil {
		t.Fatal(err)
	}
	forward(2 * time.Hour)
	meta.refuses = func(_ string, value []byte) bool { return value == nil }
	if err := q.prune(t.Context()); err == nil {
		t.Fatal("store gave it up")
	}
	meta.refuses = nil
	q.sweep()
	if n := entriesOf(t, store); n != 0 {
		t.Errorf("%d entries", n)
	}
}

// TestQuarantineAfterACrash starts with bodies of which no request knows, more than one sweep removes, and one that is whole.
func TestQuarantineAfterACrash(t *testing.T) {
	store := memstore.New(memstore.Options{})
	before := newQuarantine(store, func() time.Duration { return time.Hour }, zap.NewNop())
	if err := before.store(t.Context(), largeRefused()); err != nil {
		t.Fatal(err)
	}
	before.close()
	whole := entriesOf(t, store)
	for i := range quarantineOrphans + 10 {
		id := "rq_" + strings.Repeat(string(rune('a'+i%6)), 1+i)
		for _, part := range []string{"/0000", "/0001"} {
			if err := store.PutMeta(t.Context(), metaQuarantineBody+id+part, []byte("half")); err != nil {
				t.Fatal(err)
			}
		}
	}
	q := newQuarantine(store, func() time.Duration { return time.Hour }, zap.NewNop())
	t.Cleanup(q.close)
	eventually(t, "the first bodies are removed", func() bool { return entriesOf(t, store) == whole+2*10 })
	q.sweep()
	if n := entriesOf(t, store); n != whole {
		t.Errorf("%d entries, want %d", n, whole)
	}
}

// TestQuarantineAfterTheClockWasSetBack lists and prunes by the order in which requests came, also if the clock says otherwise since a restart.
func TestQuarantineAfterTheClockWasSetBack(t *testing.T) {
	store := memstore.New(memstore.Options{})
	var ids []string
	for _, at := range []time.Time{now(), now().Add(-time.Minute)} {
		q := startQuarantine(t, store)
		r := &refusedRequest{Source: "s", Method: "POST", URL: "http://x/", At: at, app: new(App)}
		if err := q.store(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		ids = append([]string{r.ID}, ids...)
	}
	q := startQuarantine(t, store)
	first, next, err := q.list(t.Context(), "", "", "", 1)
	if err != nil || len(first) != 1 || first[0].ID != ids[0] {
		t.Fatalf("%v %v", first, err)
	}
	if rest, _, err := q.list(t.Context(), "", "", next, 1); err != nil || len(rest) != 1 || rest[0].ID != ids[1] {
		t.Errorf("%v %v", rest, err)
	}
}
