package caddymodule

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/sluice-webhooks/sluice/queue"
)

func getStatus(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	status, err := g.Status(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, status)
}

func getSources(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	sources, err := g.Sources(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"sources": sources})
}

func postRevealHandshake(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	token, err := g.RevealHandshake(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, token)
}

func getDestinations(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	destinations, err := g.Destinations(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"destinations": destinations})
}

func getDestination(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	destination, err := g.Destination(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, destination)
}

func postPause(paused bool) endpoint {
	return func(w http.ResponseWriter, r *http.Request, g *gateway) error {
		p := newParams(r.URL)
		dryRun := p.boolean("dry_run")
		if err := p.done(); err != nil {
			return err
		}
		destination, err := g.SetPaused(r.Context(), r.PathValue("name"), paused, dryRun)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, destination)
	}
}

func getEvents(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	filter := p.filter()
	if err := p.done(); err != nil {
		return err
	}
	page, err := g.Events(r.Context(), filter)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, page)
}

func getEvent(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	source := p.text("source")
	if err := p.done(); err != nil {
		return err
	}
	event, err := g.Event(r.Context(), r.PathValue("id"), source)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, event)
}

func getPayload(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	source, form := p.text("source"), p.text("format")
	switch form {
	case "", payloadRaw, payloadNormalised:
	default:
		p.fail("format %q: want %s or %s", form, payloadRaw, payloadNormalised)
	}
	if err := p.done(); err != nil {
		return err
	}
	payload, err := g.Payload(r.Context(), r.PathValue("id"), source, form)
	if err != nil {
		return err
	}
	writePayload(w, payload)
	return nil
}

// writePayload sends bytes that a stranger chose so that no browser makes a page of them.
func writePayload(w http.ResponseWriter, payload payloadView) {
	contentType := "application/octet-stream"
	if carriesJSON(payload.ContentType, payload.Body) {
		contentType = "application/json"
	}
	h := w.Header()
	h.Set("Content-Disposition", "attachment")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Length", strconv.Itoa(len(payload.Body)))
	if payload.ContentType != "" {
		h.Set("Webhook-Content-Type", payload.ContentType)
	}
	if payload.Masked {
		h.Set("Webhook-Payload-Masked", "true")
	}
	writeBody(w, http.StatusOK, contentType, payload.Body)
}

func postCancel(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	destination, dryRun := p.text("destination"), p.boolean("dry_run")
	if destination == "" && p.values.Has("destination") {
		p.fail("destination is empty: want its name, or no such parameter for all")
	}
	if err := p.done(); err != nil {
		return err
	}
	result, err := g.Cancel(r.Context(), r.PathValue("id"), destination, dryRun)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, result)
}

func postReplay(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	dryRun, filter := p.boolean("dry_run"), p.replayFilter()
	if err := p.done(); err != nil {
		return err
	}
	var order replayOrder
	if err := readJSON(r, &order); err != nil {
		return err
	}
	if order.Filter == nil {
		order.Filter = filter
	} else if filter != nil {
		return fmt.Errorf("%w: want one filter, in the address or in the body", errBadQuery)
	}
	order.DryRun = order.DryRun || dryRun
	view, err := g.Replay(r.Context(), order)
	if err != nil {
		return err
	}
	if order.DryRun {
		return writeJSON(w, http.StatusOK, view)
	}
	w.Header().Set("Location", adminPrefix+"replays/"+view.ID)
	return writeJSON(w, http.StatusAccepted, view)
}

func getReplays(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"replays": g.Replays()})
}

func getReplay(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	view, err := g.ReplayStatus(r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, view)
}

func postCancelReplay(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	dryRun := p.boolean("dry_run")
	if err := p.done(); err != nil {
		return err
	}
	view, err := g.CancelReplay(r.Context(), r.PathValue("id"), dryRun)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, view)
}

func getDead(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	filter := queue.Filter{
		Source: p.text("source"), Destination: p.text("destination"), Type: p.text("type"), Since: p.time("since"), Until: p.time("until"),
	}
	if err := p.done(); err != nil {
		return err
	}
	view, err := g.Dead(r.Context(), filter)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, view)
}

func getProviders(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	providers, err := g.Providers()
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"providers": providers})
}

func getProvider(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	provider, err := g.Provider(r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, provider)
}

func getAudit(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	cursor, limit := p.text("cursor"), p.limit()
	if err := p.done(); err != nil {
		return err
	}
	if cursor != "" && !auditCursor.MatchString(cursor) {
		return fmt.Errorf("%w: cursor is not one of this list", errBadQuery)
	}
	page, err := g.Audit(r.Context(), cursor, limit)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, page)
}
