package caddymodule

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// Bounds of one grouping of dead deliveries: the store counts them by destination and not by error.
const (
	deadPage    = 500
	maxDeadScan = 10000 // events
	deadTime    = 120 * time.Millisecond
)

// deadView is the dead deliveries, grouped.
type deadView struct {
	Groups   []deadGroup       `json:"groups"`   // the largest first
	Totals   map[string]uint64 `json:"totals"`   // by destination; exact, whatever Complete says
	Complete bool              `json:"complete"` // false: the groups count only the newest events
	Events   int               `json:"events"`   // that the groups were made of
}

// deadGroup is the dead deliveries of one destination with one class of error.
type deadGroup struct {
	Destination string         `json:"destination"`
	Error       string         `json:"error"` // class of the last failure
	Count       int            `json:"count"`
	Statuses    map[string]int `json:"statuses,omitempty"` // last HTTP statuses
	Sources     []string       `json:"sources"`
	FirstSeen   time.Time      `json:"first_seen"` // when the first of them died
	LastSeen    time.Time      `json:"last_seen"`
	Newest      queue.ID       `json:"newest"` // an event to look at
}

// Dead groups the dead deliveries that a filter selects; its states and error are not used. It looks at the newest ones, within bounds of time and number.
func (g *gateway) Dead(ctx context.Context, f queue.Filter) (deadView, error) {
	if err := checkGlob(f.Type); err != nil {
		return deadView{}, fmt.Errorf("%w: %w", errBadQuery, err)
	}
	stats, err := g.inspect.Stats(ctx)
	if err != nil {
		return deadView{}, fmt.Errorf("statistics of the store: %w", err)
	}
	view := deadView{Groups: []deadGroup{}, Totals: map[string]uint64{}}
	for name, s := range stats.Destinations {
		if s.Dead > 0 && (f.Destination == "" || f.Destination == name) {
			view.Totals[name] = s.Dead
		}
	}
	groups, started := map[deadKey]*deadGroup{}, now()
	f.States, f.Error, f.Limit = []queue.State{queue.StateDead}, "", deadPage
	for !view.Complete && view.Events < maxDeadScan && now().Sub(started) < deadTime && len(view.Totals) > 0 {
		page, err := g.inspect.Events(ctx, f)
		if err != nil {
			return deadView{}, fmt.Errorf("dead deliveries: %w", err)
		}
		for i := range page.Events {
			addDead(groups, &page.Events[i], f.Destination)
		}
		view.Events += len(page.Events)
		f.Cursor, view.Complete = page.Next, page.Next == ""
	}
	view.Complete = view.Complete || len(view.Totals) == 0
	for _, group := range groups {
		view.Groups = append(view.Groups, *group)
	}
	slices.SortFunc(view.Groups, func(a, b deadGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Destination, b.Destination), cmp.Compare(a.Error, b.Error))
	})
	return view, nil
}

type deadKey struct{ destination, class string }

// addDead adds the dead deliveries of an event, which is older than those before it.
func addDead(groups map[deadKey]*deadGroup, s *queue.Summary, destination string) {
	for i := range s.Deliveries {
		d := &s.Deliveries[i]
		if d.State != queue.StateDead || destination != "" && d.Destination != destination {
			continue
		}
		key, at := deadKey{d.Destination, d.LastError}, d.SettledAt.UTC()
		group := groups[key]
		if group == nil {
			group = &deadGroup{
				Destination: d.Destination, Error: d.LastError, Statuses: map[string]int{}, FirstSeen: at, LastSeen: at, Newest: s.Event.ID,
			}
			groups[key] = group
		}
		group.Count++
		if d.LastStatus != 0 {
			group.Statuses[fmt.Sprint(d.LastStatus)]++
		}
		if !slices.Contains(group.Sources, s.Event.Source) {
			group.Sources = append(group.Sources, s.Event.Source)
		}
		if at.Before(group.FirstSeen) {
			group.FirstSeen = at
		}
		if at.After(group.LastSeen) {
			group.LastSeen = at
		}
	}
}
