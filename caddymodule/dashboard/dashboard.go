// Package dashboard shows the gateway to people in a browser, and lets them operate it: pages made on the server, of data that comes from the gateway's
// admin API and from nowhere else. It knows neither Caddy nor the queue; whoever embeds it says who the visitor is and how to call the API.
package dashboard

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Backend is the gateway behind the pages.
type Backend interface {
	// Call makes one call of the gateway's API.
	Call(ctx context.Context, call Call) (Answer, error)
	// Live tells the client what happens, as server-sent events, until it leaves: "change" with the number of things that happened by kind, at most
	// once in a second. The query takes the filters of the API's tail.
	Live(w http.ResponseWriter, r *http.Request, user string)
}

// Call is one call of the API.
type Call struct {
	Method string
	Path   string // below the API's root, escaped: "events/wh_1"
	Query  url.Values
	Body   any    // sent as JSON unless it is nil
	Raw    []byte // sent as it is, if Body is nil
	User   string // for the audit log
}

// Answer is what the API answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Visit says who looks at which page.
type Visit struct {
	Base      string // of the dashboard's addresses, without a slash at its end: "" or "/dashboard"
	Path      string // of the page below Base, with a slash at its beginning
	User      string // who makes changes, for the audit log
	Known     bool   // User is a person or a certificate that was let in, not just an address
	Protected bool   // somebody has made sure that User may be here
}

// Dashboard serves the pages.
type Dashboard struct {
	backend Backend
	pages   *pages
	mux     *http.ServeMux
}

// New returns a Dashboard that shows what is behind the backend.
func New(backend Backend) (*Dashboard, error) {
	pages, err := newPages()
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	d := &Dashboard{backend: backend, pages: pages, mux: http.NewServeMux()}
	for pattern, view := range views {
		limit := int64(maxForm)
		if pattern == editing {
			limit = maxEditForm
		}
		d.mux.HandleFunc(pattern, d.serve(view, limit))
	}
	d.mux.HandleFunc("GET /static/{version}/{file...}", serveStatic)
	return d, nil
}

// view answers one request. An error becomes a page that says what to do.
type view func(x *exchange) error

// views are all pages and actions by method and path.
var views = map[string]view{
	"/":                        (*exchange).notFound,
	"GET /{$}":                 (*exchange).overview,
	"GET /find":                (*exchange).find,
	"GET /live":                (*exchange).live,
	"GET /requests":            (*exchange).requests,
	"GET /events":              (*exchange).events,
	"GET /events/{id}":         (*exchange).event,
	"GET /events/{id}/payload": (*exchange).payload,
	"POST /events/{id}/replay": (*exchange).replayEvent,
	"POST /events/{id}/cancel": (*exchange).cancelEvent,
	editing:                    (*exchange).resendEvent,

	"GET /dead":                     (*exchange).dead,
	"GET /replays":                  (*exchange).replays,
	"GET /replays/{id}":             (*exchange).replay,
	"POST /replays/{id}/cancel":     (*exchange).cancelReplay,
	"GET /replay":                   (*exchange).planReplay,
	"POST /replay":                  (*exchange).startReplay,
	"GET /destinations":             (*exchange).destinations,
	"GET /destination":              (*exchange).destination,
	"POST /destination/pause":       (*exchange).pauseDestination,
	"POST /destination/resume":      (*exchange).resumeDestination,
	"POST /destination/test":        (*exchange).testDestination,
	"GET /source":                   (*exchange).source,
	"POST /source/reveal":           (*exchange).revealHandshake,
	"GET /quarantine":               (*exchange).quarantine,
	"GET /quarantine/{id}":          (*exchange).refused,
	"GET /quarantine/{id}/payload":  (*exchange).refusedPayload,
	"POST /quarantine/{id}/release": (*exchange).release,
	"POST /quarantine/{id}/discard": (*exchange).discard,
	"GET /providers":                (*exchange).providers,
	"GET /providers/{id}":           (*exchange).provider,
	"GET /send":                     (*exchange).send,
	"POST /send":                    (*exchange).sendTest,
	"GET /audit":                    (*exchange).audit,
}

type visitKey struct{}

// ServeHTTP answers a request of a visitor.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request, visit Visit) {
	if visit.Path == "" { // links need the slash
		http.Redirect(w, r, visit.Base+"/", http.StatusPermanentRedirect)
		return
	}
	setSecurityHeaders(w.Header())
	inner := r.WithContext(context.WithValue(r.Context(), visitKey{}, visit))
	address := *r.URL
	address.Path, address.RawPath = visit.Path, ""
	inner.URL = &address
	d.mux.ServeHTTP(w, inner)
}

// setSecurityHeaders keeps everything out of the pages that is not the dashboard's own.
func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin") // addresses hold filters
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// exchange is one request and its answer.
type exchange struct {
	*Dashboard
	w     http.ResponseWriter
	r     *http.Request
	visit Visit
	csrf  string
}

// Bounds of forms in bytes, as browsers send them.
const (
	maxForm     = 1 << 20
	maxEditForm = 16 << 20 // of an edited payload: a byte of it takes up to three, and payloads have up to 5 MiB unless a source is told otherwise
	maxUnread   = 64 << 20 // of a form that is too large: a browser shows no answer before it has sent everything
)

func (d *Dashboard) serve(view view, limit int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{Dashboard: d, w: w, r: r, visit: r.Context().Value(visitKey{}).(Visit)}
		session := x.session()
		x.csrf = csrfToken(session, x.visit.User)
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			body := r.Body
			r.Body = http.MaxBytesReader(w, body, limit)
			if err := x.checkOrigin(); err != nil {
				if isTooLarge(err) {
					_, _ = io.CopyN(io.Discard, body, maxUnread) // whoever is gone needs no answer
				}
				x.fail(err)
				return
			}
		}
		if err := view(x); err != nil {
			x.fail(err)
		}
	}
}

// notFound answers addresses that are no page.
func (x *exchange) notFound() error {
	base, sure := x.misplaced()
	if sure { // none of the addresses in a page would lead anywhere
		http.Error(x.w, "The dashboard is asked for "+x.visit.Path+", which is none of its pages. "+placing(base), http.StatusNotFound)
		return nil
	}
	detail := "There is no page at " + x.visit.Path + "."
	if base != "" {
		detail += " " + placing(base)
	}
	return &Problem{Status: http.StatusNotFound, Code: "no_page", Detail: detail}
}

// misplaced guesses the path below which the dashboard stands without having been told; it is sure if a page's address follows. It only guesses for an explanation: were such an
// address answered with the page, it would go past whatever protects the page's own.
func (x *exchange) misplaced() (base string, sure bool) {
	if x.visit.Base != "" || x.isPage(x.visit.Path) {
		return "", false
	}
	for i, c := range x.visit.Path {
		if c == '/' && i > 0 && (x.isPage(x.visit.Path[i:]) || strings.HasPrefix(x.visit.Path[i:], "/static/")) {
			return x.visit.Path[:i], true
		}
	}
	if strings.Count(x.visit.Path, "/") == 1 {
		return x.visit.Path, false
	}
	return "", false
}

func (x *exchange) isPage(path string) bool {
	_, pattern := x.mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}})
	return pattern != "/"
}

func placing(base string) string {
	return "If it stands below " + base + ", let the Caddyfile say so: `handle_path " + base + "*` in place of `handle` or `route`, or `base " + base + "` in webhooks_dashboard."
}

// live streams what happens.
func (x *exchange) live() error {
	x.backend.Live(x.w, x.r, x.visit.User)
	return nil
}

// render writes a page.
func (x *exchange) render(name string, status int, page *Page) error {
	page.fill(x)
	var out bytes.Buffer
	if err := x.pages.execute(&out, name, page); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	x.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	x.w.WriteHeader(status)
	_, _ = x.w.Write(showUnseen(out.Bytes())) // a client that is gone asks again
	return nil
}

// redirect sends the client on after a change, to a page below the base, with a message for it to show.
func (x *exchange) redirect(path, message string) error {
	return x.redirectWith(path, flash{Text: message})
}

// redirectBad does the same with a message that something did not work.
func (x *exchange) redirectBad(path, message string) error {
	return x.redirectWith(path, flash{Text: message, Bad: true})
}

func (x *exchange) redirectWith(path string, message flash) error {
	x.setFlash(message)
	http.Redirect(x.w, x.r, x.visit.Base+path, http.StatusSeeOther)
	return nil
}

// link writes an address of the dashboard: a path and pairs of parameters, of which empty ones are left out.
func link(path string, pairs ...string) string {
	query := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Add(pairs[i], pairs[i+1])
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + strings.ReplaceAll(query.Encode(), "%2C", ",")
}
