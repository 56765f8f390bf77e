package delivery

import (
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// janitor lets the store prune its history from time to time.
func (e *Engine) janitor() {
	maintainer, ok := e.Store.(queue.Maintainer)
	if !ok {
		return
	}
	for e.pause(e.MaintainEvery) {
		pruned, err := maintainer.Maintain(e.stopping, e.Clock.Now(), e.Retention())
		if e.stopping.Err() != nil {
			return
		}
		e.health.report("maintain", err)
		if pruned > 0 {
			e.Logger.Info("pruned history", zap.Int("events", pruned))
		}
	}
}
