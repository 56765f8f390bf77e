package caddymodule

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/verifiers"
)

const (
	secretFileCheck = time.Second // how often a used secret's files are looked at
	maxRetired      = 4           // former secrets that are remembered, to explain refusals
)

// secretSet is the live secrets of a source or destination. A changed file is picked up within a second of the next use; one that became
// unreadable or empty leaves the last good value live and is logged.
type secretSet struct {
	logger   *zap.Logger
	adopting sync.Mutex // held while a handshake brings a secret, taken before mu

	mu      sync.Mutex
	sources []*secretSource
	live    []verifiers.Secret
	uses    []*secretUse // of the live ones, if that is counted
	useOf   func(value []byte) *secretUse
	retired []verifiers.Secret // were live before their file changed; oldest first
	checked time.Time
}

func newSecretSet(configs []string, logger *zap.Logger) (*secretSet, error) {
	set := &secretSet{logger: logger}
	for _, config := range configs {
		s, err := newSecretSource(config)
		if err != nil {
			return nil, err
		}
		set.sources = append(set.sources, s)
	}
	set.rebuild()
	return set, nil
}

func (set *secretSet) rebuild() {
	set.live, set.uses = make([]verifiers.Secret, len(set.sources)), nil
	for i, s := range set.sources {
		set.live[i] = verifiers.NewSecret(s.value)
		if set.useOf != nil {
			set.uses = append(set.uses, set.useOf(s.value))
		}
	}
}

// require refuses secrets that are not written as they must be: those that are live now, and any that a changed file brings. There is a rule for each; the last one holds for the rest.
func (set *secretSet) require(usable ...func(verifiers.Secret) error) error {
	set.mu.Lock()
	defer set.mu.Unlock()
	for i, s := range set.sources {
		s.usable = usable[min(i, len(usable)-1)]
		if err := s.usable(set.live[i]); err != nil {
			return fmt.Errorf("secret %s: %w", s.label(), err)
		}
	}
	return nil
}

// has tells whether a value is a live secret.
func (set *secretSet) has(value []byte) bool {
	set.mu.Lock()
	defer set.mu.Unlock()
	for _, s := range set.sources {
		if subtle.ConstantTimeCompare(s.value, value) == 1 {
			return true
		}
	}
	return false
}

// count says how many secrets are live.
func (set *secretSet) count() int {
	set.mu.Lock()
	defer set.mu.Unlock()
	return len(set.sources)
}

// add makes a secret live that a handshake brought. It goes last, so that the indices of the configured ones stay.
func (set *secretSet) add(value []byte) {
	set.mu.Lock()
	defer set.mu.Unlock()
	for _, s := range set.sources {
		if bytes.Equal(s.value, value) {
			return
		}
	}
	set.sources = append(set.sources, &secretSource{config: "{handshake.secret}", value: value})
	set.rebuild()
}

// get returns the live secrets. The slice must not be changed.
func (set *secretSet) get(now time.Time) []verifiers.Secret {
	set.mu.Lock()
	defer set.mu.Unlock()
	if now.Sub(set.checked) < secretFileCheck && now.After(set.checked) {
		return set.live
	}
	set.checked = now
	for _, s := range set.sources {
		if s.mayChange() {
			set.refresh(s)
		}
	}
	return set.live
}

// refresh looks at a secret's files and makes a new value live.
func (set *secretSet) refresh(s *secretSource) {
	if slices.ContainsFunc(s.files, isStream) {
		return // can be read once only, and not without waiting
	}
	value, mtime, err := s.read()
	changed := err == nil && !bytes.Equal(value, s.value)
	if changed && s.usable != nil {
		err = s.usable(verifiers.NewSecret(value))
	}
	if err != nil {
		if s.broken == nil {
			set.logger.Error("secret file is not usable; its last good value stays live", zap.String("secret", s.label()), zap.Error(err))
		}
		s.broken = err
		return
	}
	before := s.value
	s.value, s.mtime, s.broken = value, mtime, nil
	if changed {
		set.logger.Info("secret file changed; its new value is live", zap.String("secret", s.label()))
		set.retired = append(set.retired, verifiers.NewSecret(before))
		set.retired = set.retired[max(0, len(set.retired)-maxRetired):]
		set.rebuild()
	}
}

// failing says of each secret whose file cannot be used at present why. A nil set has none.
func (set *secretSet) failing(now time.Time) (out []string) {
	if set == nil {
		return nil
	}
	set.get(now)
	set.mu.Lock()
	defer set.mu.Unlock()
	for _, s := range set.sources {
		if s.broken != nil {
			out = append(out, fmt.Sprintf("secret %s %v", s.label(), s.broken))
		}
	}
	return out
}

// literals counts secrets that stand in the configuration itself, where "caddy adapt" and the autosaved configuration show them.
func (set *secretSet) literals() (n int) {
	for _, s := range set.sources {
		if !isPlaceholder(s.config) {
			n++
		}
	}
	return n
}

// former returns secrets that were live before.
func (set *secretSet) former() []verifiers.Secret {
	set.mu.Lock()
	defer set.mu.Unlock()
	return append([]verifiers.Secret(nil), set.retired...)
}
