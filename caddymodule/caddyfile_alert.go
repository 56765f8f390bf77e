package caddymodule

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// parseAlert reads an alert. Syntax:
//
//	alert <name> {
//	    on     <condition>
//	    to     <destination>
//	    format event|slack
//	    email  <address>... {
//	        server <host>:<port>
//	        from   <address>
//	        auth   <user> <password>
//	        tls    starttls|implicit|none
//	    }
//	    repeat <duration>
//	}
func (app *App) parseAlert(d *caddyfile.Dispenser) error {
	var name string
	if !d.AllArgs(&name) || name == "" {
		return d.Err("alert: want exactly one name")
	}
	if _, ok := app.Alerts[name]; ok {
		return d.Errf("alert '%s' is already specified", name)
	}
	a := &Alert{at: d.Token()}
	for d.NextBlock(1) {
		var err error
		switch d.Val() {
		case "on":
			err = a.parseRule(d)
		case "to":
			a.at = d.Token()
			err = parseText(d, &a.To, "the name of a destination")
		case "format":
			if err = parseText(d, &a.Format, "event or slack"); err == nil && a.Format != "event" && a.Format != "slack" {
				err = d.Errf("unknown format '%s': want event or slack", a.Format)
			}
		case "email":
			a.at = d.Token()
			err = a.parseEmail(d)
		case "repeat":
			err = parseDuration(d, &a.Repeat)
		default:
			err = d.Errf("unrecognized option '%s' of alert %s: want on, to, format, email or repeat", d.Val(), name)
		}
		if err != nil {
			return err
		}
	}
	if a.To == "" && a.Email == nil || len(a.On) == 0 {
		return d.Errf("alert %s: want `on <condition>`, and `to <destination>` or `email <address>...`", name)
	}
	app.Alerts = withEntry(app.Alerts, name, a)
	return nil
}

// checkAlerts finds what Provision would find without secrets, disk and network. Their destinations are to be declared here or in a block before.
func (app *App) checkAlerts() error {
	for name, d := range app.Destinations {
		d.probe(app, name)
	}
	names := sortedKeys(app.Alerts)
	// in their order: of two that do not agree the second is wrong. Those of blocks before, whose place is not known, have passed.
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(app.Alerts[a].at.Line, app.Alerts[b].at.Line) })
	for _, name := range names {
		probe := *app.Alerts[name]
		if probe.Email != nil {
			email := *probe.Email
			if isPlaceholder(email.Password) && checkWritten(email.Password) == nil {
				email.Password = "password"
			}
			probe.Email = &email
		}
		if err := probe.provision(app, name); err != nil {
			return placed(fmt.Errorf("alert %s: %w", name, err), probe.at)
		}
	}
	return nil
}

// parseEmail reads how messages are mailed.
func (a *Alert) parseEmail(d *caddyfile.Dispenser) error {
	if a.Email != nil {
		return d.Err("email is already specified")
	}
	e := new(Email)
	if err := parseList(d, &e.To, "addresses such as ops@example.com"); err != nil {
		return err
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch d.Val() {
		case "server":
			err = parseText(d, &e.Server, "a mail server with its port")
		case "from":
			err = parseText(d, &e.From, "an address")
		case "tls":
			err = parseText(d, &e.TLS, "starttls, implicit or none")
		case "auth":
			if !d.AllArgs(&e.User, &e.Password) {
				err = d.Err("auth: want a name and a password such as {env.SMTP_PASSWORD}")
			}
		default:
			err = d.Errf("unrecognized option '%s' of email: want server, from, auth or tls", d.Val())
		}
		if err != nil {
			return err
		}
	}
	a.Email = e
	return nil
}

// parseRule reads one condition.
func (a *Alert) parseRule(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	bad := func() error { return d.Errf("on: want %s", alertForms) }
	if len(args) == 0 {
		return bad()
	}
	r := AlertRule{Kind: args[0]}
	args = args[1:]
	var duration string
	switch {
	case r.Kind == "refused" && len(args) == 3 && args[1] == "per":
		n, err := atoiPositive(args[0])
		if err != nil {
			return bad()
		}
		r.Count, duration = int64(n), args[2]
	case r.Kind == "silent" && len(args) == 2:
		r.Source, duration = args[0], args[1]
	case r.Kind == "disk_low" && len(args) == 1:
		n, err := humanize.ParseBytes(args[0])
		if err != nil || n > 1<<62 {
			return bad()
		}
		r.Count = int64(n)
	case (r.Kind == "secret_unused" || r.Kind == "secret_old") && len(args) == 2:
		duration, r.Source = args[0], args[1]
	case len(args) == 1 && (r.Kind == "oldest_pending" || r.Kind == "secret_unused" || r.Kind == "secret_old" || r.Kind == "dead"):
		duration = args[0]
	case len(args) == 0 && (r.Kind == "dead" || r.Kind == "breaker_open"):
	default:
		return bad()
	}
	if duration != "" {
		if err := durationInto(&r.For, duration); err != nil {
			return bad()
		}
	}
	a.On = append(a.On, r)
	if err := a.checkRules(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}
