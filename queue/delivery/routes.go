package delivery

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
)

// Routes is a table of destinations: what one generation of the configuration has. It must not be changed once it is attached.
type Routes struct {
	Destinations map[string]*Destination // by name
}

// Destination is an application that gets events.
type Destination struct {
	Name      string
	Policy    Policy
	Forwarder Forwarder

	// OrderKey gives the order key of an event for this destination, for deliveries that a replay makes anew; nil: none. It must be safe for concurrent use.
	OrderKey func(*queue.Event) string
}

// maxNameLength keeps names within the bounds of store keys.
const maxNameLength = 128

// ValidName reports what is wrong with a destination's name: it is 1 to 128 printable ASCII characters without space or slash.
func ValidName(name string) error {
	if name == "" || len(name) > maxNameLength {
		return fmt.Errorf("destination name of %d bytes: want 1 to %d", len(name), maxNameLength)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' || c == '/' {
			return fmt.Errorf("destination name %q: want printable ASCII without space or slash", name)
		}
	}
	return nil
}

// Validate checks all destinations.
func (r *Routes) Validate() error {
	for _, name := range slices.Sorted(maps.Keys(r.Destinations)) {
		d := r.Destinations[name]
		if err := ValidName(name); err != nil {
			return err
		}
		if d == nil || d.Forwarder == nil || d.Name != name {
			return fmt.Errorf("destination %q: %w", name, errors.New("not a complete destination of this name"))
		}
		if err := d.Policy.Validate(); err != nil {
			return fmt.Errorf("destination %q: %w", name, err)
		}
	}
	return nil
}
