package caddymodule

import (
	"bytes"
	"context"
	_ "embed" // the description of the API
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sluice-webhooks/sluice/caddymodule/reconcile"
	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
	"github.com/sluice-webhooks/sluice/queue/reopen"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

// adminAPI is the gateway's part of Caddy's admin API, under /webhooks/. Caddy makes it before the configuration it belongs to runs, and may keep it
// for one that fails: so it holds nothing, and each request asks for the gateway that is active then.
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.webhooks", New: func() caddy.Module { return new(adminAPI) }}
}

const (
	adminPrefix  = "/webhooks/"
	maxAdminBody = 1 << 20
)

// Routes implements caddy.AdminRouter.
func (adminAPI) Routes() []caddy.AdminRoute {
	mux := newAdminMux()
	return []caddy.AdminRoute{{Pattern: adminPrefix, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		mux.ServeHTTP(w, r)
		return nil
	})}}
}

// endpoint answers one call. An error becomes a problem.
type endpoint func(w http.ResponseWriter, r *http.Request, g *gateway) error

// adminRoutes are all calls by path and method. The OpenAPI description lists the same.
var adminRoutes = map[string]map[string]endpoint{
	"status":                     {"GET": getStatus},
	"series":                     {"GET": getSeries},
	"requests":                   {"GET": getRequests},
	"sources":                    {"GET": getSources},
	"sources/{name}/handshake":   {"POST": postRevealHandshake},
	"sources/{name}/test":        {"POST": postTestSource},
	"sources/{name}/reconcile":   {"POST": postReconcile},
	"destinations":               {"GET": getDestinations},
	"destinations/{name}":        {"GET": getDestination},
	"destinations/{name}/pause":  {"POST": postPause(true)},
	"destinations/{name}/resume": {"POST": postPause(false)},
	"destinations/{name}/test":   {"POST": postTestDestination},
	"events":                     {"GET": getEvents},
	"events/{id}":                {"GET": getEvent},
	"events/{id}/payload":        {"GET": getPayload},
	"events/{id}/cancel":         {"POST": postCancel},
	"events/{id}/resend":         {"POST": postResend},
	"export":                     {"GET": getExport},
	"import":                     {"POST": postImport},
	"replay":                     {"POST": postReplay},
	"replays":                    {"GET": getReplays},
	"replays/{id}":               {"GET": getReplay},
	"replays/{id}/cancel":        {"POST": postCancelReplay},
	"dead":                       {"GET": getDead},
	"doctor":                     {"GET": getDoctor},
	"providers":                  {"GET": getProviders},
	"providers/{id}":             {"GET": getProvider},
	"audit":                      {"GET": getAudit},
	"tail":                       {"GET": getTail},
	"quarantine":                 {"GET": getQuarantine},
	"quarantine/{id}":            {"GET": getRefused},
	"quarantine/{id}/payload":    {"GET": getRefusedPayload},
	"quarantine/{id}/release":    {"POST": postRelease},
	"quarantine/{id}/discard":    {"POST": postDiscard},
	"store/check":                {"GET": getStoreCheck},
	"store/backup":               {"GET": getStoreBackup},
}

//go:embed openapi.json
var openAPI []byte

func newAdminMux() *http.ServeMux {
	mux := http.NewServeMux()
	for path, methods := range adminRoutes {
		mux.HandleFunc(adminPrefix+path, serveMethods(methods))
	}
	mux.HandleFunc(adminPrefix+"openapi.json", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			writeAPIProblem(w, &apiProblem{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed"})
			return
		}
		writeBody(w, http.StatusOK, "application/json", openAPI)
	})
	mux.HandleFunc(adminPrefix, func(w http.ResponseWriter, _ *http.Request) {
		writeAPIProblem(w, &apiProblem{Status: http.StatusNotFound, Code: "not_found", Detail: "no such path; see " + adminPrefix + "openapi.json"})
	})
	return mux
}

// serveMethods answers the methods of one path with the gateway that is active now.
func serveMethods(methods map[string]endpoint) http.HandlerFunc {
	allow := strings.Join(sortedKeys(methods), ", ")
	if _, ok := methods[http.MethodGet]; ok {
		allow += ", HEAD"
	}
	return func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		serve, ok := methods[method]
		if !ok {
			w.Header().Set("Allow", allow)
			writeAPIProblem(w, &apiProblem{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Detail: "want " + allow})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, adminBodyLimit(r.URL.Path))
		g, err := activeGateway(r.Context(), actorOf(r))
		if err == nil {
			err = serve(w, r, g)
		}
		if err != nil {
			writeAPIProblem(w, problemOf(err))
		}
	}
}

// adminBodyLimit is how many bytes the body of a call may have.
func adminBodyLimit(path string) int64 {
	switch {
	case path == adminPrefix+"import":
		return maxImportBody
	case strings.HasPrefix(path, adminPrefix+"events/") && strings.HasSuffix(path, "/resend"):
		return maxResendBody
	}
	return maxAdminBody
}

// actorOf names who makes a call: the user of the dashboard, the client certificate's subject at the remote endpoint, else the peer's address.
func actorOf(r *http.Request) string {
	if actor, ok := r.Context().Value(actorKey{}).(string); ok { // a call of the dashboard
		return actor
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return truncate(r.TLS.PeerCertificates[0].Subject.String(), 200)
	}
	if r.RemoteAddr == "" || r.RemoteAddr == "@" {
		return "unix socket"
	}
	return clientIP(r)
}

// apiProblem is an RFC 9457 answer of the admin API. Code is stable and for programs, Detail is for people.
type apiProblem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`
}

// problemCodes says what errors mean to a client; the first that fits counts.
var problemCodes = []struct {
	err    error
	status int
	code   string
}{
	{errNoApp, http.StatusServiceUnavailable, "no_webhooks"},
	{errNotActive, http.StatusServiceUnavailable, "not_active"},
	{errBadQuery, http.StatusBadRequest, "bad_request"},
	{errHidden, http.StatusForbidden, "hidden"},
	{errSearchLimit, http.StatusGatewayTimeout, "search_limit"},
	{delivery.ErrReplayRequest, http.StatusBadRequest, "bad_request"},
	{delivery.ErrUnknownDestination, http.StatusNotFound, "unknown_destination"},
	{delivery.ErrNoReplay, http.StatusNotFound, "no_replay"},
	{delivery.ErrTooManyReplays, http.StatusTooManyRequests, "too_many_replays"},
	{delivery.ErrUnsupported, http.StatusNotImplemented, "unsupported"},
	{errCannotTry, http.StatusConflict, "cannot_try"},
	{errStoreBusy, http.StatusConflict, "store_busy"},
	{errNotReleasable, http.StatusConflict, "not_releasable"},
	{errReconcile, http.StatusConflict, "not_reconcilable"},
	{reconcile.ErrLimited, http.StatusBadGateway, "provider_limited"},
	{reconcile.ErrRefused, http.StatusBadGateway, "provider_refuses"},
	{reconcile.ErrUnexpected, http.StatusBadGateway, "provider_unexpected"},
	{reopen.ErrUnsupported, http.StatusNotImplemented, "unsupported"},
	{queue.ErrTooLarge, http.StatusRequestEntityTooLarge, "too_large"},
	{queue.ErrNotFound, http.StatusNotFound, "not_found"},
	{queue.ErrDamaged, http.StatusInternalServerError, "damaged"},
	{queue.ErrClosed, http.StatusServiceUnavailable, "store_closed"},
	{queue.ErrFailed, http.StatusServiceUnavailable, "store_failed"},
	{queue.ErrFull, http.StatusServiceUnavailable, "store_full"},
	{delivery.ErrEngineClosed, http.StatusServiceUnavailable, "store_closed"},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, "timeout"},
}

// problemOf turns an error into an answer. The texts of errors hold neither secrets nor payloads.
func problemOf(err error) *apiProblem {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &apiProblem{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Detail: fmt.Sprintf("body is larger than %d bytes", tooLarge.Limit)}
	}
	for _, known := range problemCodes {
		if errors.Is(err, known.err) {
			return &apiProblem{Status: known.status, Code: known.code, Detail: err.Error()}
		}
	}
	return &apiProblem{Status: http.StatusInternalServerError, Code: "internal", Detail: err.Error()}
}

func writeAPIProblem(w http.ResponseWriter, p *apiProblem) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	body, err := json.Marshal(p)
	if err != nil { // strings and a number always marshal
		panic(err)
	}
	writeBody(w, p.Status, problemType, body)
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	writeBody(w, status, "application/json", body.Bytes())
	return nil
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone asks again
}

// readJSON reads a body strictly. An empty body leaves v as it is.
func readJSON(r *http.Request, v any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	if err == nil && dec.More() {
		err = errors.New("more than one value")
	}
	if err != nil {
		return fmt.Errorf("%w: body: %w", errBadQuery, err)
	}
	return nil
}

var _ caddy.AdminRouter = adminAPI{}
