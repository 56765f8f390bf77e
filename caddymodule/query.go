package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sluice-webhooks/sluice/queue"
)

// Errors of a look at the gateway, beside those of queue and delivery.
var (
	// errBadQuery means that a filter or a request makes no sense; the text says why.
	errBadQuery = errors.New("bad request")
	// errHidden means that the source's configuration keeps what was asked for from being shown.
	errHidden = errors.New("hidden by the source's configuration")
	// errSearchLimit means that a search was given up before its end.
	errSearchLimit = errors.New("search took too long")
)

// Bounds of searches that may have to read many events: of a type that all thousands of events around it have too, or of deliveries that were cancelled, or while the store still makes
// its index of what was there when it was opened.
const (
	lookupTime = 250 * time.Millisecond // for an event by the provider's id, as long as the store's index of history is not complete
	listTime   = 100 * time.Millisecond // for how long a page that is not full may begin to look further: it may be short before the end
)

// gateway is what the admin API and the dashboard show and operate: the app of the running configuration with its store and engine. It is made anew for each
// request, because a reload may come between two of them.
type gateway struct {
	app     *App
	rt      *runtime
	inspect queue.Inspector
	meta    queue.Metadata
	actor   string // who asks, for the audit log
}

// errNoApp is what the admin API and the dashboard answer with when the gateway is not part of the running configuration.
var errNoApp = errors.New("the running configuration has no webhooks")

// errNotActive is what they answer with while Caddy loads its first configuration. Opening the store is a part of that.
var errNotActive = errors.New("no configuration is active: Caddy is starting or stopping; if that lasts, see its log, which names a process that has the store open")

// activeApp returns the app of the running configuration.
func activeApp() (*App, error) {
	active := caddy.ActiveContext()
	if active.Context == nil {
		return nil, errNotActive
	}
	app, err := active.AppIfConfigured(appName)
	if err != nil {
		return nil, errNoApp
	}
	return app.(*App), nil
}

// activeGateway returns the gateway of the running configuration; errNoApp if it has none.
func activeGateway(ctx context.Context, actor string) (*gateway, error) {
	app, err := activeApp()
	if err != nil {
		return nil, err
	}
	rt, err := app.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &gateway{app: app, rt: rt, inspect: rt.store, meta: rt.store, actor: actor}, nil
}

// Events returns one page of events. In the filter's states, held is understood, and pending means pending and not held. Its EventID is the gateway's own id or the provider's.
func (g *gateway) Events(ctx context.Context, f queue.Filter) (eventPage, error) {
	if err := g.checkFilter(ctx, &f); err != nil {
		return eventPage{}, err
	}
	if f.Limit == 0 {
		f.Limit = defaultPageSize
	}
	match, ok, err := g.heldStates(ctx, &f)
	page := eventPage{Events: []eventView{}}
	if err != nil || !ok {
		return page, err
	}
	for started := now(); ; {
		got, err := g.inspect.Events(ctx, f)
		if err != nil {
			return eventPage{}, listingError(err, f.Cursor)
		}
		for i := range got.Events {
			if s := &got.Events[i]; match == nil || slices.ContainsFunc(s.Deliveries, match) {
				page.Events = append(page.Events, g.view(&s.Event, s.Size, s.Deliveries))
				f.Limit--
			}
		}
		page.Next, f.Cursor = got.Next, got.Next
		if got.Next == "" || f.Limit <= 0 || now().Sub(started) >= listTime {
			return page, nil
		}
	}
}

// listingError tells a cursor that the store does not know from a failure of the store.
func listingError(err error, cursor string) error {
	known := slices.ContainsFunc([]error{queue.ErrClosed, queue.ErrFailed, queue.ErrDamaged, context.Canceled, context.DeadlineExceeded},
		func(sentinel error) bool { return errors.Is(err, sentinel) })
	if cursor != "" && !known {
		return fmt.Errorf("%w: cursor %q is not one of this list", errBadQuery, truncate(cursor, 40))
	}
	return fmt.Errorf("listing events: %w", err)
}

// checkFilter refuses a type that is no glob, and finds out whose id the filter has.
func (g *gateway) checkFilter(ctx context.Context, f *queue.Filter) error {
	if err := checkGlob(f.Type); err != nil {
		return fmt.Errorf("%w: %w", errBadQuery, err)
	}
	own, err := queue.ParseID(f.EventID)
	if err != nil {
		return nil //nolint:nilerr // it is the provider's
	}
	_, err = g.inspect.Deliveries(ctx, own)
	if errors.Is(err, queue.ErrNotFound) { // a provider may use ids that look like ours
		return nil
	}
	if err != nil {
		return fmt.Errorf("event %s: %w", own, err)
	}
	f.ID, f.EventID = own, ""
	return nil
}

// checkGlob refuses what selects no types.
func checkGlob(glob string) error {
	if _, err := queue.MatchType(glob, ""); err != nil {
		return fmt.Errorf("type %q is not a glob: want one such as invoice.*, with ? for one letter and [...] closed", glob)
	}
	return nil
}

// find resolves what an operator calls an event: the gateway's own id, or the provider's, optionally of one source. Of several events with the provider's
// id it returns the newest, and the others.
func (g *gateway) find(ctx context.Context, id, source string) (queue.ID, []queue.ID, error) {
	if own, err := queue.ParseID(id); err == nil {
		_, err := g.inspect.Deliveries(ctx, own)
		if err == nil {
			return own, nil, nil
		}
		if !errors.Is(err, queue.ErrNotFound) {
			return 0, nil, err
		}
	}
	if id == "" {
		return 0, nil, fmt.Errorf("%w: event id is empty", errBadQuery)
	}
	found, err := g.sameID(ctx, id, source)
	if err != nil {
		return 0, nil, err
	}
	if len(found) == 0 {
		return 0, nil, fmt.Errorf("event %q: %w", id, queue.ErrNotFound)
	}
	return found[0], found[1:], nil
}
