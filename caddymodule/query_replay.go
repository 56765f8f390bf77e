package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// maxLookups bounds how many events one request may name by the provider's id, because each is a search.
const maxLookups = 100

// estimateTime is for how long a dry run counts; what it has counted by then is said to be not all.
const estimateTime = 120 * time.Millisecond

// replayOrder says which deliveries are made once more, see [delivery.ReplayRequest]. Either IDs or Filter is set, or All.
type replayOrder struct {
	IDs    []string      `json:"ids,omitempty"`    // of events: the gateway's or the provider's
	Filter *replayFilter `json:"filter,omitempty"` // without states: all settled deliveries
	All    bool          `json:"all,omitempty"`    // every settled delivery of every event: asked for, so that an empty filter is not that by mistake
	To     string        `json:"to,omitempty"`     // another destination
	Move   bool          `json:"move,omitempty"`   // to it: cancel the deliveries where they wait
	Rate   float64       `json:"rate,omitempty"`   // deliveries per second; default 100
	DryRun bool          `json:"dry_run,omitempty"`
}

type replayFilter struct {
	Source      string        `json:"source,omitempty"`
	Provider    string        `json:"provider,omitempty"`
	Destination string        `json:"destination,omitempty"`
	Type        string        `json:"type,omitempty"`
	EventID     string        `json:"event_id,omitempty"` // the gateway's own or the provider's
	States      []queue.State `json:"states,omitempty"`
	Error       string        `json:"error,omitempty"`
	Since       time.Time     `json:"since,omitzero"`
	Until       time.Time     `json:"until,omitzero"`
}

// replayFilter reads the filter of a replay as a list of events has it; nil if there is none.
func (p *params) replayFilter() *replayFilter {
	f := &replayFilter{
		Source: p.text("source"), Provider: p.text("provider"), Destination: p.text("destination"), Type: p.text("type"),
		EventID: p.text("id"), States: p.states("state"), Error: p.oneOf("error", failureClasses), Since: p.time("since"), Until: p.time("until"),
	}
	if f.empty() {
		return nil
	}
	return f
}

func (f *replayFilter) empty() bool {
	return f == nil || f.Source == "" && f.Provider == "" && f.Destination == "" && f.Type == "" && f.EventID == "" &&
		len(f.States) == 0 && f.Error == "" && f.Since.IsZero() && f.Until.IsZero()
}

func (f *replayFilter) filter() queue.Filter {
	if f == nil {
		return queue.Filter{}
	}
	return queue.Filter{
		Source: f.Source, Provider: f.Provider, Destination: f.Destination, Type: f.Type, EventID: f.EventID,
		States: slices.Clone(f.States), Error: f.Error, Since: f.Since, Until: f.Until,
	}
}

// replayView is a replay job.
type replayView struct {
	ID       string                  `json:"id,omitempty"` // absent of a dry run
	State    delivery.ReplayState    `json:"state,omitempty"`
	Request  replayOrder             `json:"request"`
	Estimate delivery.ReplayEstimate `json:"estimate"`
	Created  time.Time               `json:"created,omitzero"`
	Finished time.Time               `json:"finished,omitzero"`
	Events   int                     `json:"events"`              // looked at
	Replayed int                     `json:"replayed"`            // deliveries put back
	Skipped  int                     `json:"skipped"`             // events that were gone or had nothing to put back
	UnderWay int                     `json:"under_way,omitempty"` // deliveries left out, because an attempt of theirs was under way
	DryRun   bool                    `json:"dry_run,omitempty"`
}

func replayJobView(job *delivery.ReplayJob) replayView {
	r, f := &job.Request, &job.Request.Filter
	v := replayView{
		ID: job.ID, State: job.State, Estimate: job.Estimate, Created: job.Created, Finished: job.Finished,
		Events: job.Events, Replayed: job.Replayed, Skipped: job.Skipped, UnderWay: job.UnderWay,
		Request: replayOrder{To: r.ToDestination, Move: r.Move, Rate: r.Rate},
	}
	for _, id := range r.IDs {
		v.Request.IDs = append(v.Request.IDs, id.String())
	}
	filter := &replayFilter{
		Source: f.Source, Provider: f.Provider, Destination: f.Destination, Type: f.Type, EventID: f.EventID,
		States: r.States, Error: f.Error, Since: utc(f.Since), Until: utc(f.Until),
	}
	if f.ID != 0 && f.ID != noEvent {
		filter.EventID = f.ID.String()
	}
	if len(r.States) == 0 { // of a job of an earlier version
		filter.States = f.States
	}
	if !filter.empty() {
		v.Request.Filter = filter
	}
	return v
}

// Replay starts a replay, or with DryRun says what it would do.
func (g *gateway) Replay(ctx context.Context, order replayOrder) (replayView, error) {
	request, err := g.replayRequest(ctx, &order)
	if err != nil {
		return replayView{}, err
	}
	if order.DryRun {
		bounded, cancel := context.WithTimeout(ctx, estimateTime)
		defer cancel()
		estimate, err := g.rt.engine.EstimateReplay(bounded, request)
		if err != nil && (bounded.Err() == nil || ctx.Err() != nil) { // one that found nothing in its time is not complete, as it says
			return replayView{}, err
		}
		return replayView{Request: order, Estimate: estimate, DryRun: true}, nil
	}
	job, err := g.rt.engine.Replay(ctx, request)
	if err != nil {
		return replayView{}, err
	}
	detail, err := json.Marshal(order)
	if err != nil {
		return replayView{}, fmt.Errorf("replay: %w", err)
	}
	g.audit(ctx, "replay", job.ID, string(detail))
	return replayJobView(&job), nil
}

// replayRequest checks an order and puts it into the engine's terms.
func (g *gateway) replayRequest(ctx context.Context, order *replayOrder) (delivery.ReplayRequest, error) {
	request := delivery.ReplayRequest{Filter: order.Filter.filter(), ToDestination: order.To, Move: order.Move, Rate: order.Rate}
	if len(order.IDs) == 0 && order.Filter.empty() && !order.All {
		return request, fmt.Errorf("%w: want ids, a filter, or all", errBadQuery)
	}
	if order.All && (len(order.IDs) > 0 || !order.Filter.empty()) {
		return request, fmt.Errorf("%w: all stands alone, without ids and filter", errBadQuery)
	}
	if class := request.Filter.Error; class != "" && !slices.Contains(failureClasses, class) {
		return request, fmt.Errorf("%w: error %q: want one of %s", errBadQuery, class, strings.Join(failureClasses, ", "))
	}
	if err := g.checkFilter(ctx, &request.Filter); err != nil {
		return request, err
	}
	request.States = request.Filter.States
	if err := g.storedStates(ctx, &request.Filter); err != nil {
		return request, err
	}
	if request.Filter.ID == noEvent {
		return request, nil
	}
	lookups := 0
	for _, id := range order.IDs {
		if _, err := queue.ParseID(id); err != nil {
			lookups++
		}
		if lookups > maxLookups {
			return request, fmt.Errorf("%w: more than %d ids of the provider: use wh_ ids or a filter", errBadQuery, maxLookups)
		}
		own, _, err := g.find(ctx, id, request.Filter.Source)
		if err != nil {
			return request, err
		}
		request.IDs = append(request.IDs, own)
	}
	if len(request.IDs) > 0 {
		request.Filter.Source = "" // it has served to tell events with one provider's id apart
	}
	return request, nil
}

// maxReplayDestinations bounds the destinations that a job remembers because of what they hold at its start.
const maxReplayDestinations = 500

// noEvent is the id of no event: they begin with the time at which their store was made.
const noEvent queue.ID = 1

// storedStates puts held and pending, which are told apart by what the destinations do at present, into the terms of the store, as lists do. Where nothing can be in these
// states just now, the filter is for noEvent.
func (g *gateway) storedStates(ctx context.Context, f *queue.Filter) error {
	match, ok, err := g.heldStates(ctx, f)
	switch {
	case err != nil:
		return err
	case match != nil:
		return fmt.Errorf("%w: some destinations hold their deliveries and some do not: name one, or ask for pending, for held and for other states one by one", errBadQuery)
	case len(f.Destinations) > maxReplayDestinations:
		return fmt.Errorf("%w: these are deliveries of %d destinations: name one", errBadQuery, len(f.Destinations))
	case !ok:
		f.ID = noEvent
	}
	return nil
}

// Replays returns the replay jobs that are remembered, newest first.
func (g *gateway) Replays() []replayView {
	jobs := g.rt.engine.Replays()
	views := make([]replayView, len(jobs))
	for i := range jobs {
		views[i] = replayJobView(&jobs[i])
	}
	return views
}

// ReplayStatus returns one replay job; delivery.ErrNoReplay.
func (g *gateway) ReplayStatus(id string) (replayView, error) {
	job, err := g.rt.engine.ReplayStatus(id)
	if err != nil {
		return replayView{}, err
	}
	return replayJobView(&job), nil
}

// CancelReplay stops a replay job and returns it. What it has put back stays.
func (g *gateway) CancelReplay(ctx context.Context, id string, dryRun bool) (replayView, error) {
	view, err := g.ReplayStatus(id)
	if err != nil {
		return replayView{}, err
	}
	if dryRun {
		view.DryRun = true
		return view, g.rt.engine.CanCancelReplay(id)
	}
	if err := g.rt.engine.CancelReplay(ctx, id); err != nil {
		return replayView{}, err
	}
	g.audit(ctx, "cancel_replay", id, "")
	return g.ReplayStatus(id)
}
