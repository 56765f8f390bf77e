// Package reconciletest has fakes of providers' APIs that list past events, built from the providers' documentation. Each fails a test whose request the documentation does not
// allow.
package reconciletest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Stripe is https://docs.stripe.com/api/events/list: newest first, pages by starting_after, has_more.
func Stripe(t testing.TB, key string, events []map[string]any) *httptest.Server {
	return Serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.URL.Path != "/v1/events" || r.Header.Get("Authorization") != "Bearer "+key {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"type":"invalid_request_error","message":"Invalid API Key provided"}}`)
			return
		}
		known(t, q, "limit", "created[gte]", "created[lt]", "starting_after", "type", "types[]")
		types := stripeTypes(t, q)
		limit, since, until := Number(t, q, "limit", 10), Number(t, q, "created[gte]", 0), Number(t, q, "created[lt]", 1<<40)
		if limit > 100 {
			t.Errorf("limit %d: Stripe takes at most 100", limit)
		}
		page := []map[string]any{}
		after := q.Get("starting_after") == ""
		more := false
		for _, e := range events {
			created := e["created"].(int)
			switch {
			case !after:
				after = e["id"] == q.Get("starting_after")
			case created < since || created >= until || !types(e["type"].(string)):
			case len(page) == limit:
				more = true
			default:
				page = append(page, e)
			}
		}
		Respond(t, w, map[string]any{"object": "list", "url": "/v1/events", "has_more": more, "data": page})
	})
}

// stripeTypes is the filter by type: one, which may end with *, or up to 20 whole ones.
func stripeTypes(t testing.TB, q url.Values) func(string) bool {
	one, whole := q.Get("type"), q["types[]"]
	if one != "" && len(whole) > 0 {
		t.Error("Stripe takes type or types, but not both")
	}
	if len(whole) > 20 || slices.ContainsFunc(whole, func(s string) bool { return strings.Contains(s, "*") }) {
		t.Errorf("types %v: Stripe takes up to 20, and none with *", whole)
	}
	return func(name string) bool {
		prefix, open := strings.CutSuffix(one, "*")
		return one == "" && len(whole) == 0 || slices.Contains(whole, name) || name == one || open && strings.HasPrefix(name, prefix)
	}
}

// Delivery is one of a GitHub webhook.
type Delivery struct {
	ID      int64
	GUID    string
	At      time.Time
	Event   string
	Payload map[string]any
}

// GitHub is https://docs.github.com/en/rest/repos/webhooks: deliveries with pages by Link and cursor, and one delivery with its request.
func GitHub(t testing.TB, token, hook string, deliveries []Delivery) *httptest.Server {
	var server *httptest.Server
	server = Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") == "" {
			t.Error("GitHub refuses requests without a User-Agent")
		}
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"message":"Bad credentials","documentation_url":"https://docs.github.com/rest","status":"401"}`)
			return
		}
		if r.Header.Get("Accept") != "application/vnd.github+json" || r.Header.Get("X-GitHub-Api-Version") == "" {
			t.Errorf("headers: %v", r.Header)
		}
		rest, ok := strings.CutPrefix(r.URL.Path, "/"+hook+"/deliveries")
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if rest != "" {
			for _, d := range deliveries {
				if rest == "/"+strconv.FormatInt(d.ID, 10) {
					Respond(t, w, d.detail())
					return
				}
			}
			w.WriteHeader(http.StatusNotFound)
			return
		}
		known(t, r.URL.Query(), "per_page", "cursor")
		per, from := Number(t, r.URL.Query(), "per_page", 30), 0
		if per > 100 {
			t.Errorf("per_page %d: GitHub takes at most 100", per)
		}
		if cursor := r.URL.Query().Get("cursor"); cursor != "" {
			from = atoi(t, strings.TrimPrefix(cursor, "v1_"))
		}
		page := []map[string]any{}
		for i := from; i < min(from+per, len(deliveries)); i++ {
			page = append(page, deliveries[i].summary())
		}
		if from+per < len(deliveries) {
			w.Header().Set("Link", fmt.Sprintf(`<%s/%s/deliveries?per_page=%d&cursor=v1_%d>; rel="next"`, server.URL, hook, per, from+per))
		}
		Respond(t, w, page)
	})
	return server
}

func (d Delivery) summary() map[string]any {
	return map[string]any{
		"id": d.ID, "guid": d.GUID, "delivered_at": d.At.Format(time.RFC3339), "redelivery": false, "duration": 0.27, "status": "failed to connect", "status_code": 0,
		"event": d.Event, "action": nil, "installation_id": nil, "repository_id": 1, "throttled_at": nil,
	}
}

func (d Delivery) detail() map[string]any {
	out := d.summary()
	out["request"] = map[string]any{
		"headers": map[string]string{
			"X-GitHub-Delivery": d.GUID, "X-GitHub-Event": d.Event, "X-Hub-Signature-256": "sha256=00", "Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/1",
		},
		"payload": d.Payload,
	}
	out["response"] = map[string]any{"headers": map[string]string{}, "payload": ""}
	return out
}

// Shopify is https://shopify.dev/docs/api/admin-rest/latest/resources/order: pages by Link and page_info, with which no filter but limit is allowed.
func Shopify(t testing.TB, token string, orders []map[string]any) *httptest.Server {
	var server *httptest.Server
	server = Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Shopify-Access-Token") != token || !strings.HasPrefix(r.URL.Path, "/admin/api/") || !strings.HasSuffix(r.URL.Path, "/orders.json") {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"errors":"[API] Invalid API key or access token (unrecognized login or wrong password)"}`)
			return
		}
		q := r.URL.Query()
		from, limit := 0, 2 // smaller than asked for, which Shopify may do
		if info := q.Get("page_info"); info != "" {
			known(t, q, "page_info", "limit")
			from = atoi(t, strings.TrimPrefix(info, "opaque-"))
		} else {
			known(t, q, "limit", "updated_at_min", "updated_at_max", "status")
			for _, name := range []string{"updated_at_min", "updated_at_max"} {
				if _, err := time.Parse(time.RFC3339, q.Get(name)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if q.Get("status") != "any" {
				t.Error("closed orders are not asked for")
			}
		}
		end := min(from+limit, len(orders))
		if end < len(orders) {
			w.Header().Set("Link", fmt.Sprintf(`<%[1]s%[2]s?limit=250&page_info=before>; rel="previous", <%[1]s%[2]s?limit=250&page_info=opaque-%[3]d>; rel="next"`, server.URL, r.URL.Path, end))
		}
		Respond(t, w, map[string]any{"orders": orders[from:end]})
	})
	return server
}

// Serve starts a server that ends with the test.
func Serve(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// Respond answers with JSON.
func Respond(t testing.TB, w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		t.Error(err)
	}
}

func known(t testing.TB, q url.Values, names ...string) {
	for name := range q {
		if !slices.Contains(names, name) {
			t.Errorf("unknown parameter %s", name)
		}
	}
}

// Number is a parameter that is a number, or missing if it is not there.
func Number(t testing.TB, q url.Values, name string, missing int) int {
	if !q.Has(name) {
		return missing
	}
	return atoi(t, q.Get(name))
}

func atoi(t testing.TB, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Errorf("number: %v", err)
	}
	return n
}
