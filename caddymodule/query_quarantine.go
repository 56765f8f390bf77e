package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// refusedView is a refused request as lists show it.
type refusedView struct {
	ID       string              `json:"id"`
	Source   string              `json:"source"`
	Provider string              `json:"provider"`
	At       time.Time           `json:"at"`
	ClientIP string              `json:"client_ip,omitempty"`
	Reason   string              `json:"reason"`
	Error    string              `json:"error,omitempty"`
	Size     int                 `json:"size"`
	NoBody   bool                `json:"no_body,omitempty"`   // its body was not kept, so that it cannot be released
	NoHeader bool                `json:"no_header,omitempty"` // its headers were too large to keep, and the address is cut
	Findings []verifiers.Finding `json:"findings,omitempty"`
}

// refusedDetail is all about a refused request but its payload.
type refusedDetail struct {
	refusedView
	Method        string              `json:"method"`
	URL           string              `json:"url"` // secrets in it are masked
	Header        map[string][]string `json:"header"`
	PayloadHidden bool                `json:"payload_hidden,omitempty"`
}

// refusedPage is one page of refused requests, newest first.
type refusedPage struct {
	Requests []refusedView `json:"requests"`
	Next     string        `json:"next,omitempty"`     // cursor of the next page; absent at the end
	NotKept  int           `json:"not_kept,omitempty"` // more that were refused since Caddy started: too many came at once
}

func newRefusedView(r *refusedRequest) refusedView {
	return refusedView{
		ID: r.ID, Source: r.Source, Provider: r.Provider, At: r.At.UTC(), ClientIP: r.ClientIP, Reason: r.Reason, Error: r.Error,
		Size: r.Size, NoBody: r.NoBody, NoHeader: r.NoHeader, Findings: r.Findings,
	}
}

// refusedID is how the ids of refused requests are made. They are the cursors of the list as well.
var refusedID = regexp.MustCompile(`^rq_[0-9a-f]{13}$`)

// Quarantine lists refused requests, newest first.
func (g *gateway) Quarantine(ctx context.Context, source, reason, cursor string, limit int) (refusedPage, error) {
	if cursor != "" && !refusedID.MatchString(cursor) {
		return refusedPage{}, fmt.Errorf("%w: cursor %q is not one of this list", errBadQuery, truncate(cursor, 40))
	}
	requests, next, err := g.rt.quarantine.list(ctx, source, reason, cursor, limit)
	if err != nil {
		return refusedPage{}, err
	}
	page := refusedPage{Requests: make([]refusedView, len(requests)), Next: next, NotKept: g.rt.quarantine.lost(source)}
	for i, r := range requests {
		page.Requests[i] = newRefusedView(r)
	}
	return page, nil
}

// Refused returns all about one refused request but its payload.
func (g *gateway) Refused(ctx context.Context, id string) (refusedDetail, error) {
	r, err := g.rt.quarantine.get(ctx, id)
	if err != nil {
		return refusedDetail{}, err
	}
	privacy, err := g.privacy(ctx, r.Source, r.Provider)
	if err != nil {
		return refusedDetail{}, err
	}
	return refusedDetail{
		refusedView: newRefusedView(r), Method: r.Method, URL: privacy.address(r.URL, queryIsPayload(r.Method, r.Size)), Header: privacy.header(r.Header),
		PayloadHidden: privacy.Redact,
	}, nil
}

// RefusedPayload returns the body of a refused request.
func (g *gateway) RefusedPayload(ctx context.Context, id string) (payloadView, error) {
	r, err := g.rt.quarantine.get(ctx, id)
	if err != nil {
		return payloadView{}, err
	}
	if r.NoBody {
		return payloadView{}, fmt.Errorf("payload of %s was not kept: %w", id, queue.ErrNotFound)
	}
	privacy, err := g.privacy(ctx, r.Source, r.Provider)
	if err != nil {
		return payloadView{}, err
	}
	contentType := r.Header.Get("Content-Type")
	body, masked, err := privacy.request(r.body, contentType)
	if err != nil {
		return payloadView{}, fmt.Errorf("payload of %s: %w", id, err)
	}
	return payloadView{Body: body, ContentType: contentType, Masked: masked}, nil
}

// releasedView says what became of a released request.
type releasedView struct {
	ID         string     `json:"id"`
	Events     []queue.ID `json:"events"` // that it became, or duplicates
	Duplicates int        `json:"duplicates,omitempty"`
	DryRun     bool       `json:"dry_run,omitempty"` // it would verify now
}

// Release verifies a refused request again and accepts it; with dryRun it only verifies. errNotReleasable if it does not verify.
func (g *gateway) Release(ctx context.Context, id string, dryRun bool) (releasedView, error) {
	view := releasedView{ID: id, Events: []queue.ID{}, DryRun: dryRun}
	if dryRun {
		return view, g.rt.checkRelease(ctx, g.app, id)
	}
	receipts, err := g.rt.releaseRequest(ctx, g.app, id)
	if err != nil {
		return view, err
	}
	for _, receipt := range receipts {
		view.Events = append(view.Events, receipt.ID)
		if receipt.Duplicate {
			view.Duplicates++
		}
	}
	g.audit(ctx, "release", id, fmt.Sprint(view.Events))
	return view, nil
}

// Discard removes a refused request from the quarantine.
func (g *gateway) Discard(ctx context.Context, id string, dryRun bool) (refusedView, error) {
	r, err := g.rt.quarantine.get(ctx, id)
	if err != nil {
		return refusedView{}, err
	}
	if dryRun {
		return newRefusedView(r), nil
	}
	if err := g.rt.quarantine.drop(ctx, id); err != nil && !errors.Is(err, queue.ErrNotFound) {
		return refusedView{}, err
	}
	g.audit(ctx, "discard", id, r.Source)
	return newRefusedView(r), nil
}
