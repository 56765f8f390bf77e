package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/caddymodule/reconcile"
	"github.com/sluice-webhooks/sluice/caddymodule/reconcile/reconciletest"
)

var (
	since = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	until = since.Add(2 * time.Hour)
)

func client(l *reconcile.Listing, waits *[]time.Duration) *reconcile.Client {
	return &reconcile.Client{Listing: l, HTTP: http.DefaultTransport, Agent: "test", Wait: func(_ context.Context, d time.Duration) error {
		*waits = append(*waits, d)
		return nil
	}}
}

// list returns the ids of all items, and how many pages they came in.
func list(t *testing.T, c *reconcile.Client) (items []reconcile.Item, pages int) {
	t.Helper()
	err := c.List(t.Context(), since, until, func(page []reconcile.Item) error {
		items = append(items, page...)
		pages++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return items, pages
}

func ids(items []reconcile.Item) (out []string) {
	for _, i := range items {
		out = append(out, i.ID)
	}
	return out
}

func TestStripe(t *testing.T) {
	var events []map[string]any
	var want []string
	for i := range 250 { // newest first; the first and the last are out of range
		id := fmt.Sprintf("evt_%d", i)
		created := int(until.Unix()) - 30*i
		events = append(events, map[string]any{"id": id, "object": "event", "type": "invoice.paid", "created": created, "data": map[string]any{"object": map[string]any{"amount": 100}}})
		if at := time.Unix(int64(created), 0); at.Before(until) && !at.Before(since) {
			want = append(want, id)
		}
	}
	server := reconciletest.Stripe(t, "sk_1", events)
	var waits []time.Duration
	c := client(reconcile.Stripe(server.URL, "sk_1"), &waits)
	items, pages := list(t, c)
	if !slices.Equal(ids(items), want) || pages != 3 {
		t.Errorf("%d items in %d pages, want %d", len(items), pages, len(want))
	}
	if first := items[0]; first.Type != "invoice.paid" || !first.At.Equal(until.Add(-30*time.Second)) {
		t.Errorf("%+v", first)
	}
	e, err := c.Fetch(t.Context(), items[0])
	if err != nil || !strings.Contains(string(e.Body), `"id":"evt_1"`) || e.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%+v %v", e, err)
	}
	// the list has events that were never to be sent to the endpoint
	many := []string{"invoice.paid"}
	for i := range 25 {
		many = append(many, fmt.Sprintf("customer.odd%d", i))
	}
	for name, test := range map[string]struct {
		types []string
		want  int
	}{
		"one": {[]string{"invoice.paid"}, len(want)}, "a group": {[]string{"invoice.*"}, len(want)}, "another group": {[]string{"customer.*"}, 0}, "any": {[]string{"*"}, len(want)},
		"two": {[]string{"customer.created", "invoice.paid"}, len(want)}, "two others": {[]string{"customer.created", "invoice"}, 0},
		"two, one a group": {[]string{"customer.*", "invoice.*"}, len(want)}, "more than Stripe takes": {many, len(want)}, "more others": {many[1:], 0},
	} {
		c.Listing = reconcile.Stripe(server.URL, "sk_1", test.types...)
		if items, _ := list(t, c); len(items) != test.want {
			t.Errorf("types: %s: %d items, want %d", name, len(items), test.want)
		}
	}
	c.Listing = reconcile.Stripe(server.URL, "sk_wrong")
	if err := c.List(t.Context(), since, until, nil); !errors.Is(err, reconcile.ErrRefused) || strings.Contains(err.Error(), "sk_wrong") || len(waits) > 0 {
		t.Errorf("wrong key: %v, waited %v", err, waits)
	}
}

func TestGitHub(t *testing.T) {
	const hook = "repos/acme/shop/hooks/1234"
	var deliveries []reconciletest.Delivery
	for i := range 230 {
		deliveries = append(deliveries, reconciletest.Delivery{
			ID: 9007199254740993 + int64(i), GUID: fmt.Sprintf("guid-%d", i), At: until.Add(-time.Duration(i+1) * time.Minute), Event: "push", Payload: map[string]any{"n": i},
		})
	}
	server := reconciletest.GitHub(t, "ghp_1", hook, deliveries)
	l, err := reconcile.GitHub(server.URL, "/"+hook, "ghp_1")
	if err != nil {
		t.Fatal(err)
	}
	var waits []time.Duration
	c := client(l, &waits)
	items, pages := list(t, c)
	if len(items) != 120 || items[119].ID != "guid-119" || pages != 2 {
		t.Errorf("%d items in %d pages: GitHub has no filter by time, so the list is to be left when it gets too old", len(items), pages)
	}
	e, err := c.Fetch(t.Context(), items[7])
	if err != nil || string(e.Body) != `{"n":7}` || e.Header.Get("X-GitHub-Delivery") != "guid-7" || e.Header.Get("X-GitHub-Event") != "push" {
		t.Errorf("%s %v %v", e.Body, e.Header, err)
	}
	for _, bad := range []string{"", "repos/acme/shop", "users/x/hooks/1", "repos/acme/shop/keys/1"} {
		if _, err := reconcile.GitHub("", bad, "x"); err == nil {
			t.Errorf("%q is taken for a hook", bad)
		}
	}
}

func TestShopify(t *testing.T) {
	var orders []map[string]any
	for i := range 5 {
		orders = append(orders, map[string]any{"id": 820982911946154508 + i, "updated_at": since.Add(time.Duration(i) * time.Minute).Format(time.RFC3339), "total_price": "1.00"})
	}
	server := reconciletest.Shopify(t, "shpat_1", orders)
	l, err := reconcile.Shopify(server.URL, "example.myshopify.com", "orders", "shpat_1")
	if err != nil {
		t.Fatal(err)
	}
	var waits []time.Duration
	c := client(l, &waits)
	items, pages := list(t, c)
	if len(items) != 5 || pages != 3 || items[0].ID != "820982911946154508-2026-01-02T03:00:00Z" {
		t.Errorf("%v in %d pages", ids(items), pages)
	}
	e, err := c.Fetch(t.Context(), items[1])
	if err != nil || e.Header.Get("X-Shopify-Topic") != "orders/updated" || e.Header.Get("X-Shopify-Event-Id") != "reconcile-820982911946154509-2026-01-02T03:01:00Z" {
		t.Errorf("%v %v", e.Header, err)
	}
	for resource, topic := range map[string]string{"draft_orders": "draft_orders/update", "products": "products/update", "smart_collections": "collections/update"} {
		if l, err := reconcile.Shopify(server.URL, "example.myshopify.com", resource, "x"); err != nil || l.Make["X-Shopify-Topic"] != topic || strings.Contains(l.URL, "status=") {
			t.Errorf("%s: %+v %v", resource, l, err)
		}
	}
	for _, bad := range [][2]string{{"", "orders"}, {"example.com/x", "orders"}, {"example.myshopify.com", "../shop"}, {"example.myshopify.com", ""}, {"example.myshopify.com", "locations"}} {
		if _, err := reconcile.Shopify("", bad[0], bad[1], "x"); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestPages goes through each way in which pages follow each other.
func TestPages(t *testing.T) {
	for name, next := range map[string]reconcile.Next{
		"url": {By: "url", Path: "paging.next"}, "cursor": {By: "cursor", Path: "paging.cursor", Param: "cursor"},
		"last": {By: "last", Path: "seq", Param: "after", More: "paging.more"}, "page": {By: "page", Param: "page"},
	} {
		t.Run(name, func(t *testing.T) {
			server := reconciletest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
				q, from := r.URL.Query(), 0
				switch name {
				case "url", "cursor":
					from = reconciletest.Number(t, q, "cursor", 0)
				case "last":
					from = reconciletest.Number(t, q, "after", -1) + 1
				case "page":
					from = 3 * (reconciletest.Number(t, q, "page", 1) - 1)
				}
				if q.Get("from") != "1767322800000" {
					t.Errorf("the time range is lost: %v", q)
				}
				items := []map[string]any{}
				for i := from; i < min(from+3, 7); i++ {
					items = append(items, map[string]any{"seq": i, "meta": map[string]any{"id": fmt.Sprint("e", i)}, "body": fmt.Sprintf(`{"i":%d}`, i)})
				}
				paging := map[string]any{"more": from+3 < 7}
				if from+3 < 7 {
					paging["cursor"], paging["next"] = from+3, fmt.Sprintf("/list?from=1767322800000&cursor=%d", from+3)
				}
				reconciletest.Respond(t, w, map[string]any{"result": map[string]any{"list": items}, "paging": paging})
			})
			l := &reconcile.Listing{
				URL: server.URL + "/list?from={since}", TimeFormat: "unix_ms", Items: "result.list", ID: []string{"meta.id"}, Payload: "body",
				Make: map[string]string{"X-Seq": "{seq}"}, Next: next,
			}
			if err := l.Validate(); err != nil {
				t.Fatal(err)
			}
			var waits []time.Duration
			c := client(l, &waits)
			items, _ := list(t, c)
			if want := []string{"e0", "e1", "e2", "e3", "e4", "e5", "e6"}; !slices.Equal(ids(items), want) {
				t.Errorf("%v", ids(items))
			}
			if e, err := c.Fetch(t.Context(), items[4]); err != nil || string(e.Body) != `{"i":4}` || e.Header.Get("X-Seq") != "4" {
				t.Errorf("%s %v %v", e.Body, e.Header, err)
			}
		})
	}
}

// TestAnswers meets answers that are no lists, and such that lead elsewhere.
func TestAnswers(t *testing.T) {
	var waits []time.Duration
	for name, answer := range map[string]string{
		"no list": `{"items":{}}`, "no id": `[{"name":"x"}]`, "no JSON": `<html>`,
	} {
		bad := reconciletest.Serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })
		c := client(&reconcile.Listing{URL: bad.URL, ID: []string{"id"}, Next: reconcile.Next{By: "none"}}, &waits)
		if err := c.List(t.Context(), since, until, func([]reconcile.Item) error { return nil }); !errors.Is(err, reconcile.ErrUnexpected) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// credentials go nowhere else
	for name, answer := range map[string]http.HandlerFunc{
		"a page elsewhere": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", `<https://elsewhere.example/x>; rel="next"`)
			fmt.Fprint(w, `[{"id":"e1"}]`)
		},
		"a redirect": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(http.StatusFound)
		},
		"the same page": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", `<`+r.URL.String()+`>; rel="next"`)
			fmt.Fprint(w, `[{"id":"e1"}]`)
		},
	} {
		bad := reconciletest.Serve(t, answer)
		c := client(&reconcile.Listing{URL: bad.URL + "/", ID: []string{"id"}, Next: reconcile.Next{By: "link"}}, &waits)
		err := c.List(t.Context(), since, until, func([]reconcile.Item) error { return nil })
		if !errors.Is(err, reconcile.ErrUnexpected) && !errors.Is(err, reconcile.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListingIsChecked(t *testing.T) {
	for name, l := range map[string]reconcile.Listing{
		"no address": {ID: []string{"id"}, Next: reconcile.Next{By: "link"}}, "a scheme": {URL: "ftp://x/y", ID: []string{"id"}, Next: reconcile.Next{By: "link"}},
		"a user": {URL: "https://me:secret@x/y", ID: []string{"id"}, Next: reconcile.Next{By: "link"}}, "no id": {URL: "https://x/y", Next: reconcile.Next{By: "link"}},
		"no next": {URL: "https://x/y", ID: []string{"id"}}, "half a cursor": {URL: "https://x/y", ID: []string{"id"}, Next: reconcile.Next{By: "cursor", Path: "x"}},
		"times": {URL: "https://x/y", ID: []string{"id"}, TimeFormat: "days", Next: reconcile.Next{By: "link"}},
	} {
		if l.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
