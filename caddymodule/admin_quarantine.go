package caddymodule

import "net/http"

func getQuarantine(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	source, reason, cursor, limit := p.text("source"), p.oneOf("reason", refusalReasons), p.text("cursor"), p.limit()
	if err := p.done(); err != nil {
		return err
	}
	page, err := g.Quarantine(r.Context(), source, reason, cursor, limit)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, page)
}

func getRefused(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	request, err := g.Refused(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, request)
}

func getRefusedPayload(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	payload, err := g.RefusedPayload(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	writePayload(w, payload)
	return nil
}

func postRelease(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	dryRun := p.boolean("dry_run")
	if err := p.done(); err != nil {
		return err
	}
	released, err := g.Release(r.Context(), r.PathValue("id"), dryRun)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, released)
}

func postDiscard(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	dryRun := p.boolean("dry_run")
	if err := p.done(); err != nil {
		return err
	}
	discarded, err := g.Discard(r.Context(), r.PathValue("id"), dryRun)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, discarded)
}
