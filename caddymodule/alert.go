package caddymodule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// alertSource is the source of the events that alerts make. No configured source may have its name.
const alertSource = "sluice.alerts"

const (
	alertProvider = "sluice"       // of those events
	alertWindow   = 24 * time.Hour // within which one is not stored again
)

// Alert tells somebody when something needs attention, and once more when it is over. Its messages are events that go to a destination like all others.
type Alert struct {
	// What to watch; each is told apart from the others. None of them twice, but for other sources.
	On []AlertRule `json:"on"`

	// The destination of the messages.
	To string `json:"to,omitempty"`

	// Sends them by e-mail, in place of a destination.
	Email *Email `json:"email,omitempty"`

	// What a message is: `event` (a CloudEvent, or what the destination's format makes of it; the default) or `slack` (a JSON object with a `text`).
	Format string `json:"format,omitempty"`

	// How often a message is repeated while it lasts. Default: never; an outage is one message and its end another.
	Repeat caddy.Duration `json:"repeat,omitempty"`

	at      caddyfile.Token // where it stands in the Caddyfile
	name    string
	forward *Forward
	mail    *mailer
}

// destination is the name of where the messages go.
func (a *Alert) destination() string {
	if a.mail != nil {
		return a.mail.name
	}
	return a.To
}

// AlertRule is a condition.
type AlertRule struct {
	// `dead`, `breaker_open`, `oldest_pending`, `refused`, `silent`, `disk_low`, `secret_unused` or `secret_old`.
	Kind string `json:"kind"`
	// Of `silent`, `secret_unused` and `secret_old`: the source. Default of the latter two: all.
	Source string `json:"source,omitempty"`
	// Of `oldest_pending`, `silent`, `secret_unused` and `secret_old`: for how long. Of `refused`: the time that is counted over. Of `dead`: how long no
	// delivery must die until the alert is over (default 5m).
	For caddy.Duration `json:"for,omitempty"`
	// Of `refused`: how many requests in that time. Of `disk_low`: bytes that are free.
	Count int64 `json:"count,omitempty"`
}

const defaultDeadQuiet = 5 * time.Minute

const alertForms = "dead, breaker_open, oldest_pending <duration>, refused <count> per <duration>, silent <source> <duration>, disk_low <size>, secret_unused <duration> [<source>] or secret_old <duration> [<source>]"

// check reports what is wrong with a rule.
func (r *AlertRule) check() error {
	needsFor, needsCount, needsSource := false, false, false
	switch r.Kind {
	case "dead":
		setDefault(&r.For, defaultDeadQuiet)
	case "breaker_open":
	case "oldest_pending", "secret_unused", "secret_old":
		needsFor = true
	case "refused":
		needsFor, needsCount = true, true
	case "silent":
		needsFor, needsSource = true, true
	case "disk_low":
		needsCount = true
	default:
		return fmt.Errorf("unknown condition %q: want %s", r.Kind, alertForms)
	}
	if needsFor && r.For <= 0 || needsCount && r.Count <= 0 || needsSource && r.Source == "" {
		return fmt.Errorf("condition %s is incomplete: want one of %s", r.Kind, alertForms)
	}
	return nil
}

// slackProgram makes Slack's message of an alert.
const slackProgram = `{text: ((if .state == "firing" then ":rotating_light: " else ":white_check_mark: " end) + .summary)}`

func (a *Alert) checkRules() error {
	if len(a.On) == 0 {
		return errors.New("watches nothing: want `on <condition>`")
	}
	for i := range a.On {
		r := &a.On[i]
		if err := r.check(); err != nil {
			return err
		}
		if slices.ContainsFunc(a.On[:i], func(o AlertRule) bool { return o.Kind == r.Kind && o.Source == r.Source }) { // the two would be told as one
			return fmt.Errorf("has condition %s twice: write two alerts", r.Kind)
		}
	}
	return nil
}

// alertDestination finds where the messages of a go.
func (app *App) alertDestination(a *Alert) (*Destination, error) {
	d, ok := app.Destinations[a.To]
	if !ok {
		return nil, fmt.Errorf("destination %q is not declared: want one of %s", a.To, strings.Join(sortedKeys(app.Destinations), ", "))
	}
	return d, nil
}

// checkAlertSources wants the sources that alerts name to be configured. It is called when all of them are provisioned.
func (app *App) checkAlertSources() error {
	known := sortedKeys(app.allSources())
	for _, name := range sortedKeys(app.Alerts) {
		for _, r := range app.Alerts[name].On {
			if r.Source != "" && !slices.Contains(known, r.Source) {
				return fmt.Errorf("alert %s: on %s: source %q is not configured: want one of %s", name, r.Kind, r.Source, strings.Join(known, ", "))
			}
		}
	}
	return nil
}

// provision makes the alert ready. All destinations are provisioned by now.
func (a *Alert) provision(app *App, name string) (err error) {
	a.name = name
	if err := a.checkRules(); err != nil {
		return err
	}
	if a.Email != nil {
		if a.To != "" || a.Format != "" {
			return errors.New("has both email and a destination: write two alerts")
		}
		a.mail, err = newMailer(a.Email, name)
		return err
	}
	d, err := app.alertDestination(a)
	if err != nil {
		return err
	}
	if d.Sign != nil && d.Sign.As == signProvider {
		return fmt.Errorf("destination %s signs as the provider, and an alert has none: want one with `sign standard` or without", a.To)
	}
	a.forward = &Forward{destination: d, Destination: a.To}
	switch a.Format {
	case "", "event":
	case "slack":
		a.forward.Format, a.forward.Transform = formatOriginal, slackProgram
		if a.forward.program, err = newTransform(slackProgram); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown format %q: want event or slack", a.Format)
	}
	if other, ok := d.forwardBy[alertSource]; ok && other.Format != a.forward.Format {
		return fmt.Errorf("format differs from that of another alert to destination %s", a.To)
	}
	d.forwardBy[alertSource] = a.forward
	return nil
}
