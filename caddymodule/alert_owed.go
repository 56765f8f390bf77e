package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	metaAlertsOwed = "alerts/owed/"

	// maxOwed bounds the messages of one condition that wait for the store. Beyond it the oldest is dropped, and the drop is logged.
	maxOwed = 4

	// owedAtOnce is how many messages the store is given in one commit.
	owedAtOnce = 100
)

// owedMessage is a message of an alert that the store has not taken yet, because it is full or fails.
type owedMessage struct {
	At time.Time `json:"at"`
	alertMessage
	complained bool
}

// tell says it in the log and as a Caddy event at once, for neither needs room in the store. The message itself is owed until the store takes it.
func (w *watcher) tell(state string, f firing, at time.Time) {
	w.logger.Warn("alert", zap.String("alert", f.Alert), zap.String("state", state), zap.String("condition", f.Kind), zap.String("subject", f.Subject),
		zap.String("summary", f.Summary))
	w.rt.hub.emit("webhook_alert", map[string]any{
		"alert": f.Alert, "state": state, "condition": f.Kind, "subject": f.Subject, "summary": f.Summary,
	})
	owed := slices.DeleteFunc(w.owed[f.Alert], func(m owedMessage) bool { // one that is repeated before it left need not be said twice
		return m.State == state && m.about(f) && m.Since.Equal(f.Since)
	})
	waiting, oldest := 0, 0
	for i := len(owed) - 1; i >= 0; i-- {
		if owed[i].about(f) {
			waiting, oldest = waiting+1, i
		}
	}
	if waiting >= maxOwed {
		w.logger.Error("message of an alert was dropped: too many wait for the store", zap.String("alert", f.Alert), zap.String("state", owed[oldest].State))
		owed = slices.Delete(owed, oldest, oldest+1)
	}
	w.owed[f.Alert] = append(owed, owedMessage{At: at, alertMessage: alertMessage{State: state, firing: f}})
	w.changed = true
}

// about tells whether a message is about the same condition.
func (m *owedMessage) about(f firing) bool {
	return m.Subject == f.Subject && m.Kind == f.Kind && m.Alert == f.Alert
}

// send has the store take what is owed. A message that it does not take holds up the later ones of its alert, and those of no other.
func (w *watcher) send(ctx context.Context, app *App, at time.Time) {
	for _, name := range sortedKeys(w.owed) {
		owed, left := w.owed[name], []owedMessage(nil)
		if alert, ok := app.Alerts[name]; ok { // else it left the configuration
			left = w.sendOf(ctx, alert, owed, at)
		}
		w.changed = w.changed || len(left) < len(owed)
		if w.owed[name] = left; len(left) == 0 {
			delete(w.owed, name)
		}
	}
}

// sendOf sends what one alert owes and returns what is left of it.
func (w *watcher) sendOf(ctx context.Context, alert *Alert, owed []owedMessage, at time.Time) []owedMessage {
	atOnce := owedAtOnce
	for len(owed) > 0 {
		n := min(atOnce, len(owed))
		err := w.enqueue(ctx, alert, owed[:n], at)
		switch {
		case err == nil:
			owed = owed[n:]
		case n > 1: // the store may take some of them
			atOnce = 1
		case errors.Is(err, queue.ErrTooLarge): // it would hold up the others for ever
			w.logger.Error("message of an alert was dropped", zap.String("alert", alert.name), zap.Error(err))
			owed = owed[1:]
		default:
			if !owed[0].complained {
				w.logger.Warn("message of an alert waits for the store", zap.String("alert", alert.name), zap.Error(err))
			}
			owed[0].complained = true
			return owed
		}
	}
	return nil
}

// enqueue stores messages, each as an event with one delivery. Its id tells it from all others, so that it can be stored again after an error.
func (w *watcher) enqueue(ctx context.Context, a *Alert, owed []owedMessage, at time.Time) error {
	events := make([]queue.NewEvent, len(owed))
	for i := range owed {
		m := &owed[i]
		body, err := json.Marshal(m.alertMessage)
		if err != nil {
			return fmt.Errorf("encoding: %w", err)
		}
		id := fmt.Sprintf("%s/%d/%s/%d", m.key(), m.Since.UnixMilli(), m.State, m.Told.UnixMilli())
		events[i] = queue.NewEvent{
			Event: queue.Event{
				Source: alertSource, Provider: alertProvider, ReceivedAt: at.Truncate(time.Millisecond), EventID: id, Type: "alert." + m.State, Time: m.At, Subject: m.Subject,
				Method: http.MethodPost, URL: "sluice:alerts", Header: http.Header{"Content-Type": {"application/json"}}, Body: body, SecretIndex: -1,
			},
			DedupKey: id, DedupWindow: alertWindow, Deliveries: []queue.NewDelivery{{Destination: a.destination()}},
		}
	}
	_, err := w.rt.store.Enqueue(ctx, events)
	return err
}
