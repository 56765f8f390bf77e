package caddymodule

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// find returns what of a rule holds.
func (o *observation) find(r AlertRule, at time.Time) (found []finding) {
	limit := time.Duration(r.For)
	add := func(subject, format string, args ...any) {
		found = append(found, finding{Kind: r.Kind, Subject: subject, Summary: fmt.Sprintf(format, args...)})
	}
	switch r.Kind {
	case "dead":
		for _, name := range slices.Sorted(maps.Keys(o.samples.died)) {
			if at.Sub(o.samples.died[name]) < limit {
				add(name, "deliveries to %s die: %d are dead", name, o.stats.Destinations[name].Dead)
			}
		}
	case "breaker_open":
		for _, d := range o.status {
			if d.Breaker != delivery.BreakerClosed {
				add(d.Name, "breaker of %s is open: %d deliveries are held", d.Name, d.Pending)
			}
		}
	case "oldest_pending":
		for _, d := range o.status {
			if age := at.Sub(d.OldestPending); !d.OldestPending.IsZero() && age > limit {
				add(d.Name, "oldest of %d pending deliveries to %s is more than %s old", d.Pending, d.Name, limit)
			}
		}
	case "refused":
		for _, source := range slices.Sorted(maps.Keys(o.samples.refused)) {
			if n := o.samples.refusedSince(source, at.Add(-limit)); n > float64(r.Count) {
				add(source, "source %s refused more than %d requests in %s", source, r.Count, limit)
			}
		}
	case "silent":
		if last := o.lastEvent(r.Source); at.Sub(last) > limit {
			add(r.Source, "source %s has brought no event for more than %s", r.Source, limit)
		}
	case "disk_low":
		if o.stats.FreeBytes >= 0 && o.stats.FreeBytes < r.Count {
			add("", "less than %s are free on the store's disk", humanize.IBytes(uint64(r.Count)))
		}
	case "secret_old":
		for _, name := range sortedKeys(o.sources) {
			if r.Source == "" || r.Source == name {
				o.oldSecrets(o.sources[name], at, limit, add)
			}
		}
	case "secret_unused":
		for _, name := range sortedKeys(o.sources) {
			if r.Source == "" || r.Source == name {
				o.unusedSecrets(o.sources[name], at, limit, add)
			}
		}
	}
	return found
}

// lastEvent is when a source last brought an event; the beginning of the watch if it never did.
func (o *observation) lastEvent(source string) time.Time {
	if last := o.stats.Sources[source].LastEvent; !last.IsZero() {
		return last
	}
	return o.samples.since
}

func (o *observation) unusedSecrets(h *Handler, at time.Time, limit time.Duration, add func(subject, format string, args ...any)) {
	h.secrets.get(at) // their files may have changed
	for i, last := range h.secrets.quietSince() {
		if at.Sub(last) > limit {
			add(h.Name+"/"+strconv.Itoa(i+1), "secret %d of source %s has verified nothing for more than %s: it can probably be removed", i+1, h.Name, limit)
		}
	}
}

// oldSecrets tells secrets whose file was not changed for long. Nothing else is known of a secret's age: none for those from elsewhere, nor when a provider lets one expire.
func (o *observation) oldSecrets(h *Handler, at time.Time, limit time.Duration, add func(subject, format string, args ...any)) {
	for i, changed := range h.secrets.changed() {
		if !changed.IsZero() && at.Sub(changed) > limit {
			add(h.Name+"/"+strconv.Itoa(i+1), "the file of secret %d of source %s was not changed for more than %s: the secret may be due for rotation", i+1, h.Name, limit)
		}
	}
}

// changed is when each secret was changed last; zero if that is not known: then it is no file.
func (set *secretSet) changed() []time.Time {
	set.mu.Lock()
	defer set.mu.Unlock()
	times := make([]time.Time, len(set.sources))
	for i, s := range set.sources {
		times[i] = s.mtime
	}
	return times
}

// undecided tells whether an alert that began before the watch may still last: what was seen since does not reach back far enough to know that it is over.
func (o *observation) undecided(a *Alert, f firing, at time.Time) bool {
	watched := at.Sub(o.samples.since)
	return f.Since.Before(o.samples.since) && slices.ContainsFunc(a.On, func(r AlertRule) bool {
		if r.Kind != f.Kind {
			return false
		}
		switch r.Kind {
		case "dead", "refused":
			return watched < time.Duration(r.For)
		case "silent": // of a source that has never brought an event
			return r.Source == f.Subject && o.stats.Sources[r.Source].LastEvent.IsZero() && watched <= time.Duration(r.For)
		case "secret_unused":
			return !o.uses && watched <= time.Duration(r.For)
		case "breaker_open": // all are closed at the start; those of destinations that still fail open again
			return o.unproved(f.Subject)
		}
		return false
	})
}

// unproved tells whether deliveries wait for a destination, and none has arrived since the watch began.
func (o *observation) unproved(destination string) bool {
	i := slices.IndexFunc(o.status, func(d delivery.DestinationStatus) bool { return d.Name == destination })
	return i >= 0 && o.status[i].Configured && o.status[i].Pending > 0 && o.status[i].Delivered == o.samples.delivered[destination]
}
