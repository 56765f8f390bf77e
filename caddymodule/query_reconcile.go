package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-webhooks/sluice/caddymodule/reconcile"
	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// Bounds of one reconciliation.
const (
	defaultReconcile = 24 * time.Hour
	reconcileSkew    = time.Hour // that clocks of providers and ours may differ by
	maxReconcileSet  = 5_000_000 // events of the source in the time range
	maxReconcileTold = 100       // missing events that are shown
	reconcileBatch   = 20        // events of one commit
)

// errReconcile means that a source cannot be compared with its provider's list; the text says why.
var errReconcile = errors.New("cannot be reconciled")

// reconcileOrder says what is compared.
type reconcileOrder struct {
	Since, Until time.Time
	DryRun       bool
}

// reconcileView is what a provider lists beside what arrived.
type reconcileView struct {
	Source     string           `json:"source"`
	API        string           `json:"api"`
	Since      time.Time        `json:"since"`
	Until      time.Time        `json:"until"`
	Pages      int              `json:"pages"`
	Listed     int              `json:"listed"`
	Known      int              `json:"known"`      // are in the history
	Missing    int              `json:"missing"`    // are not
	Stored     int              `json:"stored"`     // of the missing: fetched and accepted now
	Duplicates int              `json:"duplicates"` // of the missing: had been accepted all the same, as the dedup knows
	Failed     int              `json:"failed"`     // of the missing: could not be fetched or read
	First      time.Time        `json:"first_missing,omitzero"`
	Last       time.Time        `json:"last_missing,omitzero"`
	Events     []reconcileEvent `json:"events"` // the missing ones, as they are listed; the first of them
	DryRun     bool             `json:"dry_run,omitempty"`
}

// reconcileEvent is an event that did not arrive.
type reconcileEvent struct {
	ID    string    `json:"id"`
	Type  string    `json:"type,omitempty"`
	At    time.Time `json:"at,omitzero"`
	Error string    `json:"error,omitempty"` // why it could not be fetched
}

// reconciler compares one source.
type reconciler struct {
	g       *gateway
	h       *Handler
	client  *reconcile.Client
	compare *verifiers.Expr
	known   map[uint64]struct{} // hashes: two ids that share one would hide a missing event, once in 4 million million comparisons at a million events
	seen    map[uint64]struct{}
	view    reconcileView
	tell    func(*reconcileView)
	batch   []queue.NewEvent
}

// Reconcile compares what the provider of a source lists with what arrived, and fetches what did not, unless it is a dry run. tell is called with the state after each page.
func (g *gateway) Reconcile(ctx context.Context, source string, order reconcileOrder, tell func(*reconcileView)) (reconcileView, error) {
	h := g.app.source(source)
	if h == nil {
		return reconcileView{}, fmt.Errorf("source %q: %w", source, queue.ErrNotFound)
	}
	if h.Reconcile == nil {
		return reconcileView{}, fmt.Errorf("source %s %w: it has no `reconcile` in its configuration", source, errReconcile)
	}
	if err := g.reconcileRange(&order); err != nil {
		return reconcileView{}, err
	}
	r := &reconciler{g: g, h: h, known: map[uint64]struct{}{}, seen: map[uint64]struct{}{}, tell: tell, view: reconcileView{
		Source: source, API: h.Reconcile.API, Since: order.Since.UTC(), Until: order.Until.UTC(), Events: []reconcileEvent{}, DryRun: order.DryRun,
	}}
	listing, err := h.Reconcile.listing()
	if err == nil {
		r.compare, err = h.Reconcile.compare()
	}
	if err != nil {
		return reconcileView{}, fmt.Errorf("source %s %w: %w", source, errReconcile, err)
	}
	r.client = &reconcile.Client{Listing: listing, HTTP: reconcileTransport, Agent: userAgent, Wait: pause}
	if err := r.history(ctx, order.Since.Add(-reconcileSkew)); err != nil {
		return reconcileView{}, err
	}
	err = r.client.List(ctx, order.Since, order.Until, func(items []reconcile.Item) error { return r.page(ctx, items) })
	if r.view.Stored > 0 {
		g.audit(ctx, "reconcile", source, fmt.Sprintf("%d listed, %d missing, %d stored", r.view.Listed, r.view.Missing, r.view.Stored))
	}
	if err != nil {
		return r.view, fmt.Errorf("after %d listed events, of which %d were missing and %d are stored now: %w", r.view.Listed, r.view.Missing, r.view.Stored, err)
	}
	return r.view, nil
}

// reconcileRange fills in the default range. Nothing can be said of times of which the history was pruned: all of those events would seem to be missing.
func (g *gateway) reconcileRange(order *reconcileOrder) error {
	at := now()
	if order.Until.IsZero() || order.Until.After(at) {
		order.Until = at
	}
	kept := time.Duration(g.app.Retain.Delivered)
	if order.Since.IsZero() {
		order.Since = at.Add(-min(defaultReconcile, kept))
	}
	switch {
	case !order.Since.Before(order.Until):
		return fmt.Errorf("%w: since is not before until", errBadQuery)
	case order.Since.Before(at.Add(-kept)):
		return fmt.Errorf("%w: history is kept for %s, so what arrived before that cannot be told from what did not", errBadQuery, shortDuration(kept))
	}
	return nil
}

// history notes what arrived since a moment.
func (r *reconciler) history(ctx context.Context, since time.Time) error {
	f := queue.Filter{Source: r.h.Name, Since: since, Limit: maxPageSize}
	for {
		page, err := r.g.inspect.Events(ctx, f)
		if err != nil {
			return fmt.Errorf("history of source %s: %w", r.h.Name, err)
		}
		for i := range page.Events {
			key, err := r.historyKey(ctx, &page.Events[i].Event)
			if err != nil {
				return err
			}
			r.known[key] = struct{}{}
		}
		if len(r.known) > maxReconcileSet {
			return fmt.Errorf("%w: more than %d events arrived in that time; choose a shorter one", errBadQuery, maxReconcileSet)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return nil
		}
	}
}

func (r *reconciler) historyKey(ctx context.Context, e *queue.Event) (uint64, error) {
	if r.compare == nil {
		return xxhash.Sum64String(e.EventID), nil
	}
	whole, err := r.g.inspect.Event(ctx, e.ID)
	if errors.Is(err, queue.ErrNotFound) || errors.Is(err, queue.ErrDamaged) {
		return xxhash.Sum64String(e.EventID), nil // pruned a moment ago, or not readable: it is not there
	}
	if err != nil {
		return 0, fmt.Errorf("event %s: %w", e.ID, err)
	}
	return xxhash.Sum64String(r.compare.Eval(storedRequest(whole))), nil
}

// page compares one page of the list.
func (r *reconciler) page(ctx context.Context, items []reconcile.Item) error {
	r.view.Pages++
	for _, item := range items {
		if err := r.item(ctx, item); err != nil {
			return err
		}
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	r.tell(&r.view)
	return nil
}

func (r *reconciler) item(ctx context.Context, item reconcile.Item) error {
	var event *reconcile.Event
	key := xxhash.Sum64String(item.ID)
	if r.compare != nil {
		fetched, err := r.client.Fetch(ctx, item)
		if err != nil {
			return err
		}
		event = &fetched
		key = xxhash.Sum64String(r.compare.Eval(r.request(event)))
	}
	if _, again := r.seen[key]; again { // a redelivery, or an item that moved to the next page
		return nil
	}
	r.seen[key] = struct{}{}
	r.view.Listed++
	if _, ok := r.known[key]; ok {
		r.view.Known++
		return nil
	}
	r.view.Missing++
	if !item.At.IsZero() {
		if r.view.First.IsZero() || item.At.Before(r.view.First) {
			r.view.First = item.At
		}
		if item.At.After(r.view.Last) {
			r.view.Last = item.At
		}
	}
	missing := reconcileEvent{ID: truncate(item.ID, 200), Type: truncate(item.Type, 200), At: item.At}
	var err error
	if !r.view.DryRun {
		err = r.pull(ctx, item, event)
	}
	switch {
	case errors.Is(err, reconcile.ErrLimited): // so is the next one
		return err
	case errors.Is(err, reconcile.ErrRefused), errors.Is(err, reconcile.ErrUnexpected), errors.Is(err, verifiers.ErrUnreadable):
		r.view.Failed++
		missing.Error = err.Error()
	case err != nil:
		return err
	}
	if len(r.view.Events) < maxReconcileTold {
		r.view.Events = append(r.view.Events, missing)
	}
	return nil
}

// pull fetches an event and puts it into the next commit.
func (r *reconciler) pull(ctx context.Context, item reconcile.Item, event *reconcile.Event) error {
	if event == nil {
		fetched, err := r.client.Fetch(ctx, item)
		if err != nil {
			return err
		}
		event = &fetched
	}
	req := r.request(event)
	// the provider's API vouches for it, at the other end of an authenticated connection: there is no signature
	events, err := r.h.normalise(ctx, req, verifiers.Proof{SecretIndex: -1}, &http.Request{Header: http.Header{}})
	if err != nil {
		return err
	}
	for i := range events {
		if events[i].Time.IsZero() {
			events[i].Time = item.At
		}
	}
	r.batch = append(r.batch, events...)
	if len(r.batch) >= reconcileBatch {
		return r.flush(ctx)
	}
	return nil
}

// request is an event in the form of the webhook that did not arrive.
func (r *reconciler) request(e *reconcile.Event) *verifiers.Request {
	return &verifiers.Request{
		Method: http.MethodPost, URL: parseStoredURL("sluice:reconcile"), Header: e.Header, Body: e.Body, At: now(), Source: r.h.Name,
	}
}

func (r *reconciler) flush(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	receipts, err := r.g.rt.store.Enqueue(ctx, r.batch)
	if err != nil {
		return fmt.Errorf("storing: %w", err)
	}
	r.batch = nil
	for _, receipt := range receipts {
		if receipt.Duplicate {
			r.view.Duplicates++
		} else {
			r.view.Stored++
		}
	}
	return nil
}
