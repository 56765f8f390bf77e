package caddymodule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// Levels of a finding, worst first.
const (
	levelFail = "fail" // events are lost to senders, or do not get out
	levelWarn = "warn" // works, and will not always
	levelOK   = "ok"
)

// checkup is what the doctor found.
type checkup struct {
	At       time.Time    `json:"at"`
	Healthy  bool         `json:"healthy"` // no finding is of level fail
	Findings []healthNote `json:"findings"`
}

// healthNote is one finding. It names secrets by their place and never shows one.
type healthNote struct {
	Check  string `json:"check"` // store, disk, clock, secret, source, header, destination
	Target string `json:"target,omitempty"`
	Level  string `json:"level"`
	Text   string `json:"text"`
	Advice string `json:"advice,omitempty"`
}

// doctorTime bounds a whole check-up.
const doctorTime = 15 * time.Second

// Doctor looks for what is wrong, or will be: it reads the configuration and the counters, writes to the store, and connects to the destinations without
// sending them anything.
func (g *gateway) Doctor(ctx context.Context) (checkup, error) {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	status, err := g.Status(ctx)
	if err != nil {
		return checkup{}, err
	}
	var notes []healthNote
	for _, check := range []func(context.Context, *statusView) []healthNote{
		g.checkStore, checkRefusing, checkDisk, g.checkClock, g.checkSources, g.checkSecrets, g.checkHeaders, checkBacklogs, g.checkDestinations,
	} {
		notes = append(notes, check(ctx, &status)...)
	}
	rank := []string{levelFail, levelWarn, levelOK}
	slices.SortStableFunc(notes, func(a, b healthNote) int {
		return cmp.Compare(slices.Index(rank, a.Level), slices.Index(rank, b.Level))
	})
	healthy := !slices.ContainsFunc(notes, func(n healthNote) bool { return n.Level == levelFail })
	return checkup{At: now().UTC(), Healthy: healthy, Findings: notes}, nil
}

const (
	metaProbe = "doctor/probe"
	slowWrite = 250 * time.Millisecond // a durable write that takes longer leaves little of a provider's deadline
)

// checkStore writes to the store and reads it back.
func (g *gateway) checkStore(ctx context.Context, _ *statusView) []healthNote {
	note := healthNote{Check: "store", Level: levelFail, Advice: "see Caddy's log; `caddy webhooks status` shows its size and the free disk"}
	value, started := []byte(now().UTC().Format(time.RFC3339Nano)), now()
	if err := g.meta.PutMeta(ctx, metaProbe, value); err != nil {
		note.Text = "cannot be written: " + err.Error()
		return []healthNote{note}
	}
	took := now().Sub(started)
	read, err := g.meta.Meta(ctx, metaProbe)
	if err == nil && string(read) != string(value) {
		err = errors.New("another value comes back than was written")
	}
	if err = errors.Join(err, g.meta.PutMeta(ctx, metaProbe, nil)); err != nil {
		note.Text = "cannot be read: " + err.Error()
		return []healthNote{note}
	}
	if took > slowWrite {
		return []healthNote{{
			Check: "store", Level: levelWarn, Text: fmt.Sprintf("a durable write takes %s", age(took)),
			Advice: "the disk is slow or busy: providers wait for it, so move the store to a faster one",
		}}
	}
	return []healthNote{{Check: "store", Level: levelOK, Text: fmt.Sprintf("takes a durable write in %s", took.Round(10*time.Microsecond))}}
}

// checkRefusing tells whether the store takes new events.
func checkRefusing(_ context.Context, status *statusView) []healthNote {
	if status.refusing == nil {
		return nil
	}
	return []healthNote{{
		Check: "store", Level: levelFail, Text: refusingText(status.refusing),
		Advice: "free some space or keep less history with `retain`; where the store's own limit is reached, raise max_size. It goes on by itself",
	}}
}

const (
	freeFail = 256 << 20
	freeWarn = 2 << 30
)

// checkDisk judges the free space of the store's disk.
func checkDisk(_ context.Context, status *statusView) []healthNote {
	free := status.Store.FreeBytes
	note := healthNote{Check: "disk", Level: levelOK, Text: fmt.Sprintf("%s free", bytesText(free))}
	switch {
	case free < 0:
		return nil
	case free < freeFail:
		note.Level = levelFail
	case free < freeWarn:
		note.Level = levelWarn
	default:
		return []healthNote{note}
	}
	note.Advice = "below min_free new events are refused with 503: free some space, or keep less history with `retain`"
	return []healthNote{note}
}

// newestAhead is how far the newest event may seem to lie in the future before the clock is suspected.
const newestAhead = 2 * time.Second

// checkClock compares the clock with the newest event's time of arrival, and reads what stale signatures say.
func (g *gateway) checkClock(ctx context.Context, status *statusView) []healthNote {
	note := healthNote{Check: "clock", Level: levelOK, Text: "nothing speaks against it"}
	page, err := g.inspect.Events(ctx, queue.Filter{Limit: 1})
	switch {
	case err != nil:
		note = healthNote{Check: "clock", Level: levelWarn, Text: "newest event cannot be read: " + err.Error()}
	case len(page.Events) > 0 && page.Events[0].Event.ReceivedAt.After(now().Add(newestAhead)):
		note = healthNote{
			Check: "clock", Level: levelFail, Text: fmt.Sprintf("the newest event arrived %s in the future: the clock was set back", age(page.Events[0].Event.ReceivedAt.Sub(now()))),
			Advice: "run an NTP client; signatures with a time are refused while the clock is wrong",
		}
	}
	notes := []healthNote{note}
	for i := range status.Sources {
		s := &status.Sources[i]
		if stale := s.Refused["stale"]; stale > 0 && stale*10 >= s.Requests[resultAccepted] {
			notes = append(notes, healthNote{
				Check: "clock", Target: s.Name, Level: levelWarn, Text: fmt.Sprintf("%d requests were refused because their signature's time is off", stale),
				Advice: "compare this machine's clock with the provider's (the quarantine says by how much they differ), or widen `tolerance`",
			})
		}
	}
	return notes
}

// checkBacklogs repeats what asks for an operator anyway.
func checkBacklogs(_ context.Context, status *statusView) []healthNote {
	var notes []healthNote
	for i := range status.Destinations {
		d := &status.Destinations[i]
		for _, problem := range d.problems() {
			notes = append(notes, healthNote{Check: "destination", Target: d.Name, Level: levelWarn, Text: problem})
		}
	}
	return notes
}
