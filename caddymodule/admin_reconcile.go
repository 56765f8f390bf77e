package caddymodule

import (
	"context"
	"net/http"
	"strings"
)

// postReconcile compares a source with its provider's list. A client that accepts server-sent events gets one named progress after each page, and at the end one named result or
// problem; others get the result when it is there. It ends with its client, and with the configuration.
func postReconcile(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	order := reconcileOrder{Since: p.time("since"), Until: p.time("until"), DryRun: p.boolean("dry_run")}
	if err := p.done(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(g.app.ctx, cancel)()
	if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		view, err := g.Reconcile(ctx, r.PathValue("name"), order, func(*reconcileView) {})
		if err != nil {
			return g.leaving(err)
		}
		return writeJSON(w, http.StatusOK, view)
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	stream := &eventStream{w: newPatientWriter(w, g.app.ctx)}
	view, err := g.Reconcile(ctx, r.PathValue("name"), order, func(v *reconcileView) {
		brief := *v
		brief.Events = []reconcileEvent{}
		stream.send("progress", brief)
	})
	if err == nil {
		stream.send("result", view)
		return nil
	}
	problem := problemOf(g.leaving(err))
	problem.Type, problem.Title = "about:blank", http.StatusText(problem.Status)
	stream.send("problem", problem)
	return nil
}
