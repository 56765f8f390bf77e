package caddymodule

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

const (
	metaSecretKey  = "secrets/key"
	metaSecretUses = "secrets/use/"

	// maxSecretUses bounds the secrets whose use is remembered, former ones among them. Beyond it the one that was used longest ago is forgotten.
	maxSecretUses = 4096
)

// secretUse is what is known of the use of a secret by a source, over reloads and restarts.
type secretUse struct {
	since int64         // when it was live here first, in seconds since 1970
	last  atomic.Int64  // when it verified a request last; 0: never
	hits  atomic.Uint64 // requests that it verified
}

// quietSince is since when it has verified nothing.
func (u *secretUse) quietSince() time.Time { return time.Unix(max(u.since, u.last.Load()), 0) }

// note counts a request.
func (u *secretUse) note(at time.Time) {
	u.hits.Add(1)
	u.last.Store(at.Unix())
}

// secretUses knows them by a hash of the secret with a key of the store's own, so that neither a place in the configuration that changes nor a file with another
// value leads to another one. Who reads the store could test guesses with it, and as well with the signatures of the events there.
type secretUses struct {
	mu    sync.Mutex
	key   []byte
	named map[string]*secretUse
	whole bool // what an earlier process saved was read
}

// of finds the use of a secret by a source.
func (s *secretUses) of(source string, secret []byte) *secretUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.named == nil {
		s.reset()
	}
	hash := hmac.New(sha256.New, s.key)
	hash.Write([]byte(source + "\x00"))
	hash.Write(secret)
	name := hex.EncodeToString(hash.Sum(nil)[:8])
	use := s.named[name]
	if use == nil {
		s.makeRoom()
		use = &secretUse{since: now().Unix()}
		s.named[name] = use
	}
	return use
}

// reset begins anew.
func (s *secretUses) reset() {
	s.key, s.named = make([]byte, 32), make(map[string]*secretUse)
	_, _ = rand.Read(s.key) // it never fails
}

func (s *secretUses) makeRoom() {
	if len(s.named) < maxSecretUses {
		return
	}
	oldest := ""
	for name, use := range s.named {
		if oldest == "" || use.quietSince().Before(s.named[oldest].quietSince()) {
			oldest = name
		}
	}
	delete(s.named, oldest)
}

// savedUse is the use of a secret as the store keeps it.
type savedUse struct {
	Name  string `json:"name"`
	Since int64  `json:"since"`
	Last  int64  `json:"last,omitempty"`
	Hits  uint64 `json:"hits,omitempty"`
}

// loadUses reads what an earlier process saved. If that fails, it is left as it is, and this process counts for itself.
func (k *rollupKeeper) loadUses(ctx context.Context) error {
	s := &k.uses
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reset()
	key, err := k.meta.Meta(ctx, metaSecretKey)
	if errors.Is(err, queue.ErrNotFound) {
		if err := k.meta.PutMeta(ctx, metaSecretKey, s.key); err != nil {
			return fmt.Errorf("keeping the key of secrets' uses: %w", err)
		}
		s.whole = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the key of secrets' uses: %w", err)
	}
	uses, err := loadPages[savedUse](ctx, k.meta, metaSecretUses)
	if err != nil {
		return err
	}
	for _, saved := range uses {
		use := &secretUse{since: saved.Since}
		use.last.Store(saved.Last)
		use.hits.Store(saved.Hits)
		s.named[saved.Name] = use
	}
	s.key, s.whole = key, true
	return nil
}

// isWhole tells whether all that was ever saved is known.
func (s *secretUses) isWhole() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole
}

// all lists them by name.
func (s *secretUses) all() []savedUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]savedUse, 0, len(s.named))
	for _, name := range sortedKeys(s.named) {
		use := s.named[name]
		all = append(all, savedUse{Name: name, Since: use.since, Last: use.last.Load(), Hits: use.hits.Load()})
	}
	return all
}

// saveUses writes them, if anything changed.
func (k *rollupKeeper) saveUses(ctx context.Context) error {
	all := k.uses.all()
	if !k.uses.isWhole() || slices.Equal(all, k.used) {
		return nil
	}
	if err := savePages(ctx, k.meta, metaSecretUses, all); err != nil {
		return err
	}
	k.used = all
	return nil
}

// countUses has the use of all sources' secrets counted. Requests that come before the store is open are not.
func (app *App) countUses(uses *secretUses) {
	for name, h := range app.sources {
		h.secrets.countUses(func(value []byte) *secretUse { return uses.of(name, value) })
	}
}

// countUses has the use of the secrets counted, and of those that come.
func (set *secretSet) countUses(of func(value []byte) *secretUse) {
	set.mu.Lock()
	defer set.mu.Unlock()
	set.useOf = of
	set.rebuild()
}

// used notes that a secret of a list that get returned has verified a request.
func (set *secretSet) used(live []verifiers.Secret, index int, at time.Time) {
	set.mu.Lock()
	defer set.mu.Unlock()
	if index < min(len(live), len(set.uses)) && &live[0] == &set.live[0] { // otherwise others are live by now
		set.uses[index].note(at)
	}
}

// quietSince is since when each secret has verified nothing; nothing if that is not counted.
func (set *secretSet) quietSince() []time.Time {
	set.mu.Lock()
	defer set.mu.Unlock()
	times := make([]time.Time, len(set.uses))
	for i, use := range set.uses {
		times[i] = use.quietSince()
	}
	return times
}

// views are the secrets as pages and the API show them.
func (set *secretSet) views() []secretView {
	set.mu.Lock()
	defer set.mu.Unlock()
	views := make([]secretView, len(set.sources))
	for i, s := range set.sources {
		views[i].Label = s.label()
		if i >= len(set.uses) {
			continue
		}
		use := set.uses[i]
		views[i].Matches, views[i].Since = use.hits.Load(), time.Unix(use.since, 0).UTC()
		if last := use.last.Load(); last > 0 {
			views[i].LastUsed = time.Unix(last, 0).UTC()
		}
	}
	return views
}
