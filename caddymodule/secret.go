package caddymodule

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
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
	config string // as configured; only its placeholders are safe to show
	path   string // set if config is exactly {file./path}
	value  []byte
	mtime  time.Time // of the file that the value is from
	broken error     // why the file cannot be used at present
}

// newSecretSource resolves a configured secret. Its errors name the placeholder and never the value.
func newSecretSource(config string) (*secretSource, error) {
	s := &secretSource{config: config}
	if p, ok := strings.CutPrefix(config, "{file."); ok && strings.HasSuffix(p, "}") && !strings.ContainsAny(p[:len(p)-1], "{}") {
		s.path = strings.TrimSuffix(p, "}")
		var err error
		if s.value, s.mtime, err = readSecretFile(s.path); err != nil {
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
	switch {
	case config == "":
		return "", errSecretEmpty
	case unknownPlaceholder.MatchString(config) && !isPlaceholder(config):
		return "", errors.New("looks like a placeholder and is none that is known here: write {env.NAME} or {file./absolute/path}")
	case strings.Contains(config, "{http."):
		// Caddy's Caddyfile rewrites {file.name} in a site block to a request placeholder; a path with a slash or dot is left alone.
		return "", errors.New("is a placeholder of a request and means nothing here: write {file./absolute/path} or {env.NAME}")
	}
	var missing error
	value := knownPlaceholder.ReplaceAllStringFunc(config, func(placeholder string) string {
		value, err := caddy.NewReplacer().ReplaceOrErr(placeholder, true, true)
		if err != nil || strings.TrimSpace(value) == "" {
			missing = errSecretMissing
		}
		return strings.TrimRight(value, "\r\n") // as of a file
	})
	return value, missing
}

var (
	// knownPlaceholder finds the placeholders that have a value outside a request, those of a request, which are a mistake, and the name
	// of a secret that a handshake brought. All else in a secret is literal: a JWK and a password may have braces too.
	knownPlaceholder   = regexp.MustCompile(`\{(?:(?:env|file|http)\.[^{}]*|(?:system|time)\.[a-z0-9_.]+|handshake\.secret)\}`)
	unknownPlaceholder = regexp.MustCompile(`^\{[a-zA-Z_]\w*\.[\w./-]*\}$`)
)

// isPlaceholder tells a placeholder from a literal secret.
func isPlaceholder(s string) bool { return knownPlaceholder.MatchString(s) }

// label is how errors, logs and pages call the secret: its placeholders, without what stands around them.
func (s *secretSource) label() string {
	if found := knownPlaceholder.FindAllString(s.config, -1); found != nil {
		return strings.Join(found, "")
	}
	return "(literal)"
}

// readSecretFile returns what is in a secret's file, and when that was written. It is read each time: a file of the same size and time may be another one,
// put in its place by a symbolic link or written twice within one tick of the file system's clock.
func readSecretFile(path string) ([]byte, time.Time, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	if len(raw) > maxSecretFile {
		return nil, time.Time{}, fmt.Errorf("file is larger than %d bytes", maxSecretFile)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	// editors and echo end a file with a newline; no provider's secret does
	value := bytes.TrimRight(raw, "\r\n")
	if len(bytes.TrimSpace(value)) == 0 {
		return nil, time.Time{}, errSecretEmpty
	}
	return value, info.ModTime(), nil
}

// secretSet is the live secrets of a source or destination. A changed file is picked up within a second of the next use; one that became
// unreadable or empty leaves the last good value live and is logged.
type secretSet struct {
	logger   *zap.Logger
	adopting sync.Mutex // held while a handshake brings a secret, taken before mu

	mu      sync.Mutex
	sources []*secretSource
	live    []verifiers.Secret
	retired []verifiers.Secret // were live before their file changed; oldest first
	usable  func(verifiers.Secret) error
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
	for _, s := range set.sources {
		if s.path != "" {
			set.refresh(s)
		}
	}
	return set.live
}

// refresh looks at a secret's file and makes a new value live.
func (set *secretSet) refresh(s *secretSource) {
	if info, err := os.Stat(s.path); err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeDevice) != 0 {
		return // can be read once only, and not without waiting
	}
	value, mtime, err := readSecretFile(s.path)
	changed := err == nil && !bytes.Equal(value, s.value)
	if changed && set.usable != nil {
		err = set.usable(verifiers.NewSecret(value))
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

func (set *secretSet) labels() []string {
	set.mu.Lock()
	defer set.mu.Unlock()
	out := make([]string, len(set.sources))
	for i, s := range set.sources {
		out[i] = s.label()
	}
	return out
}
