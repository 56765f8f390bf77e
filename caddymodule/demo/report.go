package demo

import (
	"fmt"
	"slices"
)

// ambiguous are failures after which an application may have taken the event all the same: then it gets it again, as "at least once" says.
var ambiguous = []string{"timeout", "reset", "truncated"}

// Check is a sum that must be right.
type Check struct {
	Claim string   `json:"claim"`
	Wrong []string `json:"wrong,omitempty"` // what contradicts it
}

func (c *Check) unless(ok bool, format string, args ...any) {
	if !ok {
		c.Wrong = append(c.Wrong, fmt.Sprintf(format, args...))
	}
}

// report prints the summary and returns whether all sums agree. Three accounts are compared: the sender's, the gateway's (its metrics and its log) and the applications'.
func (s *stage) report(gateway counters) bool {
	s.out.heading("Summary")
	s.totals(gateway)
	sound := true
	checks := []Check{s.checkAnswers(), s.checkIntake(gateway), s.checkDeliveries(gateway), s.checkArrivals(), s.checkRepeats(), s.checkApplications()}
	if s.o.Report != nil {
		s.o.Report(checks)
	}
	for _, c := range checks {
		verdict, color := "ok", green
		if len(c.Wrong) > 0 {
			verdict, color, sound = "WRONG", red, false
		}
		s.out.text("%s  %s", s.out.paint(color, fmt.Sprintf("%-5s", verdict)), c.Claim)
		for _, w := range c.Wrong {
			s.out.text("       %s", w)
		}
	}
	return sound
}

func (s *stage) destinations() []*application { return []*application{s.onboarding, s.visaDesk} }

// totals prints the figures.
func (s *stage) totals(gateway counters) {
	sent := s.tally
	s.out.text("sent      %3d requests: %d new events, %d repeats, %d not genuine", sent.fresh+sent.repeats+sent.forged, sent.fresh, sent.repeats, sent.forged)
	accepted, duplicates, refused := intake(gateway)
	s.out.text("received  %3d requests: %d accepted, %d duplicates, %d refused", accepted+duplicates+refused, accepted, duplicates, refused)
	for _, app := range s.destinations() {
		d := s.destination(app, gateway)
		s.out.text("%-10s %2d deliveries = %d delivered + %d dead + %d held, in %d attempts", app.name, d.due, d.delivered, d.dead, d.held, d.attempts)
	}
	s.out.text("")
}

// intake adds up the gateway's counters of requests over all sources.
func intake(gateway counters) (accepted, duplicates, refused int) {
	for _, source := range sourceNames {
		accepted += gateway.value("requests_total", source, "accepted", source)
		duplicates += gateway.value("requests_total", source, "duplicate", source)
		refused += gateway.value("requests_total", source, "refused", source) + gateway.value("requests_total", source, "error", source)
	}
	return accepted, duplicates, refused
}

// destinationSums are the deliveries of one destination.
type destinationSums struct{ due, delivered, dead, held, attempts int }

// destination takes what is due from the sender's account and the rest from the gateway's.
func (s *stage) destination(app *application, gateway counters) destinationSums {
	sums := destinationSums{
		delivered: gateway.value("deliveries_total", app.name, "delivered"),
		dead:      gateway.value("dead", app.name),
		held:      gateway.value("pending", app.name),
	}
	for event := range s.tally.events {
		if s.goesTo(event, app) {
			sums.due++
		}
	}
	for _, outcome := range []string{"delivered", "status", "timeout", "dial", "dns", "tls", "reset", "truncated", "redirect", "transform", "enrich", "internal"} {
		sums.attempts += gateway.value("attempts_total", app.name, outcome)
	}
	return sums
}

// goesTo says whether an event of the tally is forwarded to an application.
func (s *stage) goesTo(event string, app *application) bool {
	source, _ := splitKey(event)
	return app == s.onboarding || source == "heyvisa"
}

func (s *stage) checkAnswers() Check {
	c := Check{Claim: "every genuine request was answered with 2xx, and nothing else was"}
	c.Wrong = append(c.Wrong, s.tally.wrong...)
	return c
}

func (s *stage) checkIntake(gateway counters) Check {
	accepted, duplicates, refused := intake(gateway)
	c := Check{Claim: fmt.Sprintf("sender and gateway count the same: %d accepted, %d duplicates, %d refused", accepted, duplicates, refused)}
	c.unless(accepted == s.tally.fresh, "%d events were sent, %d accepted", s.tally.fresh, accepted)
	// a request that got no answer may have come in all the same: then its repetition is a duplicate
	c.unless(duplicates >= s.tally.repeats && duplicates <= s.tally.repeats+s.tally.broken, "%d repeats were sent, %d found", s.tally.repeats, duplicates)
	c.unless(refused == s.tally.forged, "%d forgeries were sent, %d refused", s.tally.forged, refused)
	return c
}

func (s *stage) checkDeliveries(gateway counters) Check {
	c := Check{Claim: "accepted = delivered + dead + held, for each application"}
	for _, app := range s.destinations() {
		d := s.destination(app, gateway)
		c.unless(d.due == d.delivered+d.dead+d.held, "%s: %d accepted, but %d + %d + %d", app.name, d.due, d.delivered, d.dead, d.held)
		dead := 0
		for _, event := range s.facts.all() {
			if delivery := event.deliveries[app.name]; delivery != nil && delivery.state == "dead" {
				dead++
			}
		}
		c.unless(d.dead == dead, "%s: the gateway has %d dead deliveries and logged %d", app.name, d.dead, dead)
	}
	return c
}

// checkArrivals looks every accepted event up at the applications.
func (s *stage) checkArrivals() Check {
	c := Check{Claim: "every accepted event reached its applications or is dead there"}
	for _, app := range s.destinations() {
		confirmed := make(map[string]bool)
		got, _ := app.receptions()
		for _, r := range got {
			confirmed[r.source+" "+r.eventID] = r.confirmed > 0
		}
		for event := range s.tally.events {
			if !s.goesTo(event, app) || confirmed[event] {
				continue
			}
			source, id := splitKey(event)
			s.facts.mu.Lock()
			state := s.facts.state(source, id, app.name)
			s.facts.mu.Unlock()
			c.unless(state == "dead", "%s of %s is neither at %s nor dead", id, source, app.name)
		}
	}
	return c
}

// checkRepeats makes sure that no event was delivered twice, but for those whose first delivery broke off without an answer.
func (s *stage) checkRepeats() Check {
	c := Check{Claim: "no duplicate was delivered"}
	for _, app := range s.destinations() {
		ids := make(map[string]int)
		got, _ := app.receptions()
		for id, r := range got {
			ids[r.source+" "+r.eventID]++
			c.unless(r.confirmed <= 1+s.unanswered(id, app.name), "%s took %s of %s %d times", app.name, r.eventID, r.source, r.confirmed)
		}
		for event, n := range ids {
			c.unless(n == 1, "%s got %s as %d events", app.name, event, n)
			c.unless(s.tally.events[event], "%s got %s, which nobody sent", app.name, event)
		}
	}
	return c
}

// unanswered counts the attempts of a delivery that ended without a clear answer.
func (s *stage) unanswered(id, destination string) (n int) {
	s.facts.mu.Lock()
	defer s.facts.mu.Unlock()
	event := s.facts.events[id]
	if event == nil || event.deliveries[destination] == nil {
		return 0
	}
	for _, class := range event.deliveries[destination].failures {
		if slices.Contains(ambiguous, class) {
			n++
		}
	}
	return n
}

// checkApplications has what the applications themselves have to complain of.
func (s *stage) checkApplications() Check {
	c := Check{Claim: "the applications verified every signature by their own code, and every VerifEye event has its result"}
	for _, app := range s.destinations() {
		got, faults := app.receptions()
		c.Wrong = append(c.Wrong, faults...)
		for _, r := range got {
			c.unless(app != s.onboarding || r.source != "verifeye" || r.enriched, "%s has no result", r.eventID)
		}
	}
	return c
}
