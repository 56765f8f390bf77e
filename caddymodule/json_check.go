package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
)

// What follows is about configurations in JSON: a Caddyfile has no words for null and refuses negative values where they stand.

// checkJSON refuses null in place of an object, and negative values.
func (app *App) checkJSON() error {
	if err := cmp.Or(notNull("destination", app.Destinations), notNull("alert", app.Alerts), notNull("provider", app.Providers)); err != nil {
		return err
	}
	if r := app.Retain; r != nil {
		if err := notNegative(map[string]int64{"delivered": int64(r.Delivered), "dead": int64(r.Dead), "rejected": int64(r.Rejected)}); err != nil {
			return fmt.Errorf("retain: %w", err)
		}
	}
	for _, name := range sortedKeys(app.Alerts) {
		if err := app.Alerts[name].checkJSON(); err != nil {
			return fmt.Errorf("alert %s: %w", name, err)
		}
	}
	return nil
}

func (a *Alert) checkJSON() error {
	if err := notNegative(map[string]int64{"repeat": int64(a.Repeat)}); err != nil {
		return err
	}
	for _, rule := range a.On {
		if err := notNegative(map[string]int64{"for": int64(rule.For), "count": rule.Count}); err != nil {
			return fmt.Errorf("condition %s: %w", rule.Kind, err)
		}
	}
	return nil
}

func (h *Handler) checkJSON() error {
	if err := checkMask(h.Mask); err != nil {
		return err
	}
	values := map[string]int64{"max_body": h.MaxBody, "deadline": int64(h.Deadline)}
	if h.Dedup != nil {
		values["dedup: window"] = int64(h.Dedup.Window)
	}
	for i, f := range h.Forwards {
		if f == nil {
			return fmt.Errorf("forward %d: is null: want an object", i+1)
		}
		values[fmt.Sprintf("forward %d: park", i+1)] = int64(f.Park)
	}
	return notNegative(values)
}

func (r *Retry) checkJSON() error {
	if r == nil {
		return nil
	}
	values := map[string]int64{"max_attempts": int64(r.MaxAttempts), "max_age": int64(r.MaxAge)}
	if e := r.Exponential; e != nil {
		values["first"], values["cap"], values["total"] = int64(e.First), int64(e.Cap), int64(e.Total)
	}
	if r.Jitter != 0 && len(r.Schedule) == 0 {
		return errors.New("jitter without a schedule: the exponential and the well-known ones have their own")
	}
	return notNegative(values)
}

func notNull[V any](kind string, all map[string]*V) error {
	for _, name := range sortedKeys(all) {
		if all[name] == nil {
			return fmt.Errorf("%s %s: is null: want an object", kind, name)
		}
	}
	return nil
}

func notNegative(values map[string]int64) error {
	for _, name := range sortedKeys(values) {
		if values[name] < 0 {
			return fmt.Errorf("%s: is negative", name)
		}
	}
	return nil
}
