package caddymodule

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/verifiers"
)

const (
	secretFileCheck = time.Second // how often a used secret's file is looked at
	maxSecretFile   = 1 << 20
	maxRetired      = 4 // former secrets that are remembered, to explain refusals
)

var (
	errSecretEmpty   = errors.New("is empty: set it, or remove it from the configuration")
	errSecretMissing = errors.New("is not set")
)

// secretSource is one configured secret: a literal, or placeholders such as {env.X} and {file./path}. It keeps the last good value; it never shows it.
type secretSource struct {
	config string // as configured; safe to show only if it is a placeholder
	path   string // set if config is exactly {file./path}
	value  []byte
	mtime  time.Time
	size   int64
}

// newSecretSource resolves a configured secret. Its errors name the placeholder and never the value.
func newSecretSource(config string) (*secretSource, error) {
	s := &secretSource{config: config}
	if p, ok := strings.CutPrefix(config, "{file."); ok && strings.HasSuffix(p, "}") && !strings.ContainsAny(p[:len(p)-1], "{}") {
		s.path = strings.TrimSuffix(p, "}")
		if _, err := s.reload(); err != nil {
			return nil, fmt.Errorf("secret %s: %w", s.label(), err)
		}
		return s, nil
	}
	value, err := resolveSecret(config)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", s.label(), err)
	}
	s.value = []byte(value)
	return s, nil
}

func resolveSecret(config string) (string, error) {
	if !isPlaceholder(config) {
		if config == "" {
			return "", errSecretEmpty
		}
		return config, nil
	}
	if strings.Contains(config, "{http.") {
		// Caddy's Caddyfile rewrites {file.name} in a site block to a request placeholder; a path with a slash or dot is left alone.
		return "", errors.New("is a placeholder of a request and means nothing here: write {file./absolute/path} or {env.NAME}")
	}
	value, err := caddy.NewReplacer().ReplaceOrErr(config, true, true)
	if err != nil {
		return "", errSecretMissing
	}
	if strings.TrimSpace(value) == "" {
		return "", errSecretMissing
	}
	return value, nil
}

// isPlaceholder tells a placeholder from a literal secret, which may itself contain braces or backslashes that the replacer would alter.
func isPlaceholder(s string) bool {
	open := strings.IndexByte(s, '{')
	return open >= 0 && strings.IndexByte(s[open:], '}') > 1 && strings.Contains(s[open:], ".")
}

// label is how errors, logs and pages call the secret.
func (s *secretSource) label() string {
	if isPlaceholder(s.config) {
		return s.config
	}
	return "(literal)"
}

// reload reads the secret's file if it changed, and reports whether the value did.
func (s *secretSource) reload() (bool, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return false, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	if s.value != nil && info.ModTime().Equal(s.mtime) && info.Size() == s.size {
		return false, nil
	}
	if info.Size() > maxSecretFile {
		return false, fmt.Errorf("file is larger than %d bytes", maxSecretFile)
	}
	raw, err := os.ReadFile(s.path)
	if err != nil {
		return false, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	// editors and echo end a file with a newline; no provider's secret does
	value := bytes.TrimRight(raw, "\r\n")
	if len(bytes.TrimSpace(value)) == 0 {
		return false, errSecretEmpty
	}
	changed := !bytes.Equal(value, s.value)
	s.value, s.mtime, s.size = value, info.ModTime(), info.Size()
	return changed, nil
}

// secretSet is the live secrets of a source or destination. A changed file is picked up within a second of the next use; one that became
// unreadable or empty leaves the last good value live and is logged.
type secretSet struct {
	logger *zap.Logger

	mu      sync.Mutex
	sources []*secretSource
	live    []verifiers.Secret
	retired []verifiers.Secret // were live before their file changed; oldest first
	usable  func(verifiers.Secret) error
	checked time.Time
	failing bool
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
	set.live = make([]verifiers.Secret, len(set.sources))
	for i, s := range set.sources {
		set.live[i] = verifiers.NewSecret(s.value)
	}
}

// require refuses secrets that are not written as they must be: those that are live now, and any that a changed file brings.
func (set *secretSet) require(usable func(verifiers.Secret) error) error {
	set.mu.Lock()
	defer set.mu.Unlock()
	set.usable = usable
	for i, s := range set.sources {
		if err := usable(set.live[i]); err != nil {
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
	failed := false
	for _, s := range set.sources {
		if s.path == "" {
			continue
		}
		before := s.value
		changed, err := s.reload()
		if changed && set.usable != nil {
			if err = set.usable(verifiers.NewSecret(s.value)); err != nil {
				s.value, changed = before, false
			}
		}
		if err != nil {
			failed = true
			if !set.failing {
				set.logger.Error("secret file is not usable; its last good value stays live", zap.String("secret", s.label()), zap.Error(err))
			}
		}
		if changed {
			set.logger.Info("secret file changed; its new value is live", zap.String("secret", s.label()))
			set.retired = append(set.retired, verifiers.NewSecret(before))
			set.retired = set.retired[max(0, len(set.retired)-maxRetired):]
			set.rebuild()
		}
	}
	set.failing = failed
	return set.live
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

func (set *secretSet) labels() []string {
	set.mu.Lock()
	defer set.mu.Unlock()
	out := make([]string, len(set.sources))
	for i, s := range set.sources {
		out[i] = s.label()
	}
	return out
}
