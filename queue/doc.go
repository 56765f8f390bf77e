// Package queue is the durable queue between the receiving and the forwarding leg: its data types and its promises.
//
// An [Event] is a verified, deduplicated request that was accepted. For each of its destinations it has one [Delivery],
// and every HTTP try of a delivery is an [Attempt].
//
// # Guarantees
//
//   - When [Store.Enqueue] returns without an error, the events, their dedup claims and their deliveries are durable, all in one commit.
//   - A delivery is either pending, leased, or settled for good; there is no moment at which a crash can lose it.
//   - Delivery is at least once: a lease that is not settled, or whose settlement was not yet durable at a crash, is claimed again.
//   - Deliveries of one destination with the same order key are leased one at a time, in order of arrival.
//
// # States of a delivery
//
//	            ┌────────────── retry at t / released ──────────────┐
//	            ▼                                                   │
//	enqueue ▶ pending ── claim ──▶ delivering ── settle ──▶ delivered │
//	            ▲ │                    │  └─────────────────────────┘
//	            │ └─ cancel ▶ cancelled└───────────▶ dead
//	            └──────────── replay ◀─ delivered | dead | cancelled
//
// A pending delivery whose destination is paused, has its breaker open or is no longer configured is shown as held;
// the store keeps it as pending, because holding is a property of the destination and not of its million deliveries.
package queue
