package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/sluice-webhooks/sluice/queue"
)

// group is a number of commits that are written and synced together. While one group is being written the next one collects itself, so
// groups are as large as the disk is slow, and a lone commit does not wait for anything.
//
// A goroutine of their own, the leader, writes the groups for as long as there are any. None of those who wait does it: whoever writes waits for the disk, and they
// must not wait for longer than they want to.
type group struct {
	number uint64
	pends  []*pending
	bytes  int
	done   chan struct{} // closed when err is set
	err    error
}

// intake is what the enqueuing side shares. Store.mu guards it.
type intake struct {
	next    uint64   // number of the next event
	groups  []*group // the last one collects; without those that are being written
	number  uint64
	usual   int           // events in the last group
	leading bool          // there is a leader
	bytes   int           // of events that Badger does not hold yet
	space   chan struct{} // closed when bytes has become less; nil if nobody waits
	waiting int           // callers that wait for space
	sources map[string]*sourceRow
	idle    chan struct{} // closed when leading ends; nil if nobody waits
}

// maxGroup bounds the bytes of one write.
const maxGroup = 8 << 20

// mostInGroup is maxGroup or, where segments are smaller, what one has room for.
func (s *Store) mostInGroup() int { return int(min(maxGroup, s.o.SegmentSize-segmentHeader)) }

// join adds the events of one commit to the group that collects. The caller holds s.mu.
func (s *Store) join(pends []*pending, bytes int) *group {
	in := &s.intake
	var g *group
	if n := len(in.groups); n > 0 && in.groups[n-1].bytes+bytes <= s.mostInGroup() {
		g = in.groups[n-1]
	} else {
		in.number++
		g = &group{number: in.number, pends: make([]*pending, 0, in.usual), done: make(chan struct{})}
		in.groups = append(in.groups, g)
	}
	for i, p := range pends {
		p.group = g
		p.continues = i+1 < len(pends)
	}
	g.pends = append(g.pends, pends...)
	g.bytes += bytes
	in.bytes += bytes
	if !in.leading {
		in.leading = true
		go s.lead() // waitForLeader waits for its end
	}
	return g
}

// await waits until a group is durable. It is written whether or not somebody waits.
func (g *group) await(ctx context.Context) error {
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return fmt.Errorf("enqueue: not known to be durable yet: %w", ctx.Err())
	}
}

// lead writes groups until there are none.
func (s *Store) lead() {
	for {
		if s.intake.usual > 1 {
			runtime.Gosched() // whoever can run at once joins: groups are larger and fewer
		}
		g := s.detach()
		if g == nil {
			return
		}
		s.write(g)
		close(g.done)
	}
}

// detach takes the oldest group out of the queue and numbers its events; nil if there is none, and then nobody leads.
func (s *Store) detach() *group {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := &s.intake
	if len(in.groups) == 0 {
		in.leading = false
		if in.idle != nil {
			close(in.idle)
			in.idle = nil
		}
		return nil
	}
	g := in.groups[0]
	in.groups[0] = nil
	in.groups = in.groups[1:]
	in.usual = len(g.pends)
	for _, p := range g.pends {
		p.seq = in.next
		in.next++
	}
	return g
}

// write makes a group durable and hands it on.
func (s *Store) write(g *group) {
	if err := s.Failure(); err != nil {
		g.err = fmt.Errorf("enqueue: %w: %w", queue.ErrFailed, err)
		return
	}
	w := &s.writing
	w.records, w.continues = w.records[:0], w.continues[:0]
	for _, p := range g.pends {
		sealEvent(p.record, p.seq)
		p.ev.ID = queue.ID(p.seq)
		w.records = append(w.records, p.record)
		w.continues = append(w.continues, p.continues)
	}
	gap, err := s.journal.append(g.pends[0].seq, w.records, w.continues)
	clear(w.records)
	switch {
	case err == nil:
		s.work.commits.Add(1)
		s.work.committed.Add(uint64(len(g.pends)))
		s.handOn(g, gap)
	case errors.Is(err, queue.ErrFull):
		g.err = fmt.Errorf("enqueue: %w", err)
		s.takeBack(g)
	default:
		s.fail(err)
		g.err = fmt.Errorf("enqueue: %w: %w", queue.ErrFailed, err)
	}
}

// takeBack undoes what was done for a group of which nothing was written.
func (s *Store) takeBack(g *group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intake.next -= uint64(len(g.pends))
	s.intake.bytes -= g.bytes
	for _, p := range g.pends {
		s.claims.remove(p)
	}
	s.intake.freed()
}

// handOn gives a durable group to the applier and to the lanes. gap is what the journal holds beside its events for as long as it holds them: MaxTail bounds that, too.
func (s *Store) handOn(g *group, gap int) {
	newest := g.pends[len(g.pends)-1]
	newest.bytes += gap
	s.promised.Store(newest.seq)
	s.mu.Lock()
	s.intake.bytes += gap
	for _, p := range g.pends {
		s.intake.count(p.ev)
	}
	s.mu.Unlock()
	s.handing.Lock()
	defer s.handing.Unlock()
	s.tail.push(g.pends)
	s.applier.push(&op{group: g})
	for _, p := range g.pends {
		for i := range p.deliveries {
			p.deliveries[i].lane.arrive(p, &p.deliveries[i])
		}
	}
	for _, p := range g.pends {
		for i := range p.deliveries {
			if l := p.deliveries[i].lane; l.woken != g.number {
				l.woken = g.number
				s.wakes.send(l.name)
			}
		}
	}
}

func (in *intake) count(ev *queue.Event) {
	src := in.sources[ev.Source]
	if src == nil {
		src = &sourceRow{}
		in.sources[ev.Source] = src
	}
	src.accepted++
	src.last = max(src.last, nanos(ev.ReceivedAt))
}

// freed tells those who wait for space to look again. The caller holds s.mu.
func (in *intake) freed() {
	if in.space != nil {
		close(in.space)
		in.space = nil
	}
}

// waitForLeader waits until nothing is being written. Nothing new is taken in any more.
func (s *Store) waitForLeader() {
	s.mu.Lock()
	s.intake.freed()
	var idle chan struct{}
	if s.intake.leading {
		if s.intake.idle == nil {
			s.intake.idle = make(chan struct{})
		}
		idle = s.intake.idle
	}
	s.mu.Unlock()
	if idle != nil {
		<-idle
	}
}

// arrive puts a new delivery into its lane.
func (l *lane) arrive(p *pending, d *pendingDelivery) {
	l.pending.Add(1)
	if d.timed {
		l.pushTimed(d.entry(p.seq))
		return
	}
	l.push(fresh{seq: p.seq, hash: d.hash, at: d.at, since: p.enqueued, ev: p.ev, orderKey: d.orderKey, wanted: d.wanted, bytes: p.bytes})
}
