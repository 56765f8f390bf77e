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
	metaAlertsOwed = "alerts/owed"

	// maxOwed bounds the messages that wait for the store. Beyond it the oldest is dropped, and the drop is logged.
	maxOwed = 64
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
	w.owed = slices.DeleteFunc(w.owed, func(m owedMessage) bool { // one that is repeated before it left need not be said twice
		return m.State == state && m.key() == f.key() && m.Since.Equal(f.Since)
	})
	if len(w.owed) >= maxOwed {
		w.logger.Error("message of an alert was dropped: too many wait for the store", zap.String("alert", w.owed[0].Alert), zap.String("state", w.owed[0].State))
		w.owed = slices.Delete(w.owed, 0, 1)
	}
	w.owed = append(w.owed, owedMessage{At: at, alertMessage: alertMessage{State: state, firing: f}})
	w.changed = true
}

// send has the store take what is owed. A message that it does not take holds up the later ones of its alert, and those of no other.
func (w *watcher) send(ctx context.Context, app *App, at time.Time) {
	held := make(map[string]bool)
	left := make([]owedMessage, 0, len(w.owed))
	for _, m := range w.owed {
		alert, ok := app.Alerts[m.Alert]
		if !ok { // it left the configuration
			continue
		}
		if !held[m.Alert] {
			err := w.enqueue(ctx, alert, &m, at)
			if err == nil {
				continue
			}
			if errors.Is(err, queue.ErrTooLarge) { // it would hold up the others for ever
				w.logger.Error("message of an alert was dropped", zap.String("alert", m.Alert), zap.Error(err))
				continue
			}
			if !m.complained {
				w.logger.Warn("message of an alert waits for the store", zap.String("alert", m.Alert), zap.Error(err))
			}
			held[m.Alert], m.complained = true, true
		}
		left = append(left, m)
	}
	w.changed = w.changed || len(left) < len(w.owed)
	w.owed = left
}

// enqueue stores the message as an event with one delivery. Its id tells it from all others, so that it can be stored again after an error.
func (w *watcher) enqueue(ctx context.Context, a *Alert, m *owedMessage, at time.Time) error {
	body, err := json.Marshal(m.alertMessage)
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	id := fmt.Sprintf("%s/%d/%s/%d", m.key(), m.Since.UnixMilli(), m.State, m.Told.UnixMilli())
	_, err = w.rt.store.Enqueue(ctx, []queue.NewEvent{{
		Event: queue.Event{
			Source: alertSource, Provider: "sluice", ReceivedAt: at.Truncate(time.Millisecond), EventID: id, Type: "alert." + m.State, Time: m.At, Subject: m.Subject,
			Method: http.MethodPost, URL: "sluice:alerts", Header: http.Header{"Content-Type": {"application/json"}}, Body: body, SecretIndex: -1,
		},
		DedupKey: id, DedupWindow: 24 * time.Hour, Deliveries: []queue.NewDelivery{{Destination: a.destination()}},
	}})
	return err
}
