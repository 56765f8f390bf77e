package verifiers_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

func batchProvider(t *testing.T, b verifiers.Batch) *verifiers.Provider {
	t.Helper()
	p, err := verifiers.Compile(&verifiers.Spec{
		ID: "batches", Scheme: verifiers.SchemeNone, Event: verifiers.Event{ID: "body", Type: "json:type", DefaultType: "request"}, Batch: &b,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func postForm(body string) *verifiers.Request {
	return &verifiers.Request{
		Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "hooks.example.com", Path: "/"}, Body: []byte(body),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	}
}

// TestBatchFromField takes apart an array that is a field of a form.
func TestBatchFromField(t *testing.T) {
	p := batchProvider(t, verifiers.Batch{From: "form:events", Elements: "@this", Event: verifiers.Event{ID: "json:_id", Type: "json:event"}})
	r := postForm("events=" + url.QueryEscape(`[{"_id":"1","event":"open"},{"_id":"2","event":"click"}]`))
	ids, err := p.Identify(r, true)
	if err != nil || len(ids) != 2 {
		t.Fatalf("split into %v: %v", ids, err)
	}
	if ids[1].EventID != "2" || ids[1].Type != "click" || string(ids[1].Body) != `{"_id":"2","event":"click"}` {
		t.Errorf("second element is %+v", ids[1])
	}
	if _, err := p.Identify(postForm("other=1"), true); !errors.Is(err, verifiers.ErrUnreadable) {
		t.Errorf("without the field: %v, expected ErrUnreadable", err)
	}
}

// TestBatchOfOneObject checks that a provider which sends an object where it mostly sends arrays is understood, and that nothing else is.
func TestBatchOfOneObject(t *testing.T) {
	p := batchProvider(t, verifiers.Batch{Elements: "@this", Event: verifiers.Event{ID: "json:id"}})
	ids, err := p.Identify(postForm(`{"id":"1","type":"single"}`), true)
	if err != nil || len(ids) != 1 || ids[0].Type != "single" || ids[0].Body != nil {
		t.Errorf("an object is split into %+v: %v", ids, err)
	}
	for _, body := range []string{`"text"`, "1", "", "a=1", `[{"id":"1"},{"id":`, `{"id":"1"`} {
		if _, err := p.Identify(postForm(body), true); !errors.Is(err, verifiers.ErrUnreadable) {
			t.Errorf("%q: %v, expected ErrUnreadable", body, err)
		}
	}
	named := batchProvider(t, verifiers.Batch{Elements: "events", Event: verifiers.Event{ID: "json:id"}})
	if _, err := named.Identify(postForm(`{"id":"1","type":"single"}`), true); !errors.Is(err, verifiers.ErrUnreadable) {
		t.Errorf("no array under its name: %v, expected ErrUnreadable", err)
	}
}

// TestBatchInheritsID checks that elements have the id that a scheme of one's own reads of them, and no id that all of them would share.
func TestBatchInheritsID(t *testing.T) {
	const hash = 64
	for expr, length := range map[string]int{
		"json:id": 1, "json:kind json:id": 3, "json:batch || json:id": 1, "json:batch": hash, "header:X-Batch": hash, "json:id || header:X-Batch": hash, "header:X-Batch json:id": 3,
	} {
		p, err := verifiers.Compile(&verifiers.Spec{ID: "own", Scheme: verifiers.SchemeNone, Event: verifiers.Event{ID: expr}, Batch: &verifiers.Batch{Elements: "items"}})
		if err != nil {
			t.Fatal(err)
		}
		r := postForm(`{"batch":"all","items":[{"id":"1","kind":"a"},{"id":"2","kind":"a"}]}`)
		r.Header.Set("X-Batch", "h")
		ids, err := p.Identify(r, true)
		if err != nil || len(ids) != 2 || len(ids[0].EventID) != length || ids[0].EventID == ids[1].EventID || ids[0].DedupKey == ids[1].DedupKey {
			t.Errorf("%s: %+v %v", expr, ids, err)
		}
	}
}

// TestFormSortedCoversAll checks that a signature over sorted fields does not vouch for parts of the body which fields do not show: what the sender signed
// without them must not verify with them.
func TestFormSortedCoversAll(t *testing.T) {
	p, err := verifiers.Compile(&verifiers.Spec{
		ID: "forms", Scheme: verifiers.SchemeHMAC, Signature: verifiers.Signature{Names: []string{"X-Sig"}}, Signed: []string{"{url}{form_sorted}"},
	})
	if err != nil {
		t.Fatal(err)
	}
	secret := verifiers.NewSecret([]byte("form secret"))
	verify := func(r *verifiers.Request) error {
		_, err := p.Verify(context.Background(), r, []verifiers.Secret{secret})
		return err
	}
	for _, signed := range []string{"", "a=1&b=2"} {
		r := postForm(signed)
		if err := p.Sign(r, secret, "", time.Unix(1700000000, 0)); err != nil {
			t.Fatal(err)
		}
		if err := verify(r); err != nil {
			t.Fatalf("signed %q: %v", signed, err)
		}
		for _, smuggled := range []string{"&c=;", "&%zz=1", "&c=3;d=4", `{"amount":";"}`} {
			r.Body = []byte(signed + smuggled)
			if err := verify(r); !errors.Is(err, verifiers.ErrMismatch) {
				t.Errorf("%q after signed %q: %v, expected ErrMismatch", smuggled, signed, err)
			}
		}
	}
	empty := postForm("")
	if err := p.Sign(empty, secret, "", time.Unix(1700000000, 0)); err != nil {
		t.Fatal(err)
	}
	empty.Header.Set("Content-Type", "multipart/form-data; boundary=B")
	for _, body := range []string{"garbage", "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\nfile\r\n--B--\r\n"} {
		empty.Body = []byte(body)
		if err := verify(empty); !errors.Is(err, verifiers.ErrMismatch) {
			t.Errorf("multipart %.20q: %v, expected ErrMismatch", body, err)
		}
	}
}

// TestQueryEncoded checks the spelling of {query_encoded}: by name, escaped as in a form.
func TestQueryEncoded(t *testing.T) {
	p, err := verifiers.Compile(&verifiers.Spec{
		ID: "queries", Scheme: verifiers.SchemeHMAC, Signature: verifiers.Signature{Names: []string{"X-Sig"}}, Signed: []string{"{query_encoded}"},
	})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := verifiers.Compile(&verifiers.Spec{
		ID: "literal", Scheme: verifiers.SchemeHMAC, Signature: verifiers.Signature{Names: []string{"X-Sig"}}, Signed: []string{"{body}"},
	})
	if err != nil {
		t.Fatal(err)
	}
	secret := verifiers.NewSecret([]byte("query secret"))
	r, want := postForm(""), postForm("a=x+y&b=%2B1%3A2")
	r.URL.RawQuery = "b=%2b1:2&a=x%20y"
	for _, s := range []struct {
		p *verifiers.Provider
		r *verifiers.Request
	}{{p, r}, {plain, want}} {
		if err := s.p.Sign(s.r, secret, "", time.Unix(1700000000, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.Header.Get("X-Sig"); got != want.Header.Get("X-Sig") {
		t.Errorf("signed as %s, expected that of %q", got, want.Body)
	}
}

// TestBatchCost takes a large batch apart by ids that read the element's body and the whole request. What each element costs does not grow with the batch.
func TestBatchCost(t *testing.T) {
	const elements = 2000
	p := batchProvider(t, verifiers.Batch{Elements: "items", Event: verifiers.Event{ID: "raw>json:at json:id body", Type: "json:type"}})
	element := `{"id":"1","type":"` + strings.Repeat("a", 500) + `"}`
	r := postForm(`{"at":1,"items":[` + strings.Repeat(element+",", elements-1) + element + `]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ids, err := p.Identify(r, true)
	runtime.ReadMemStats(&after)
	if err != nil || len(ids) != elements || !strings.HasPrefix(ids[elements-1].EventID, "1|1|") {
		t.Fatalf("%d elements: %v", len(ids), err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 50*uint64(len(r.Body)) {
		t.Errorf("%d bytes were allocated for a body of %d", allocated, len(r.Body))
	}
}
