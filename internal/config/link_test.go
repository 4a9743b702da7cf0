package config

import (
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/impair"
)

const oneHost = "hosts: [{node: a, uplink: {address: 192.168.0.11/24}}]\n"

// Every key of an impairment, on one link among others; on a link that is the only one,
// the mapping will do, and its subnet is that of the hosts.
func TestImpairedLinks(t *testing.T) {
	all := impair.Impairment{Loss: 0.05, Duplicate: 0.01, Corrupt: 0.001, Reorder: 0.25, Delay: 20 * time.Millisecond,
		Jitter: 5 * time.Millisecond, Rate: 100e6, Limit: 50, Seed: 7}
	for links, want := range map[string]Link{
		"links: {loss: 5%, delay: 20ms±5ms, reorder: 25%, duplicate: 1%, corrupt: 0.1%, rate: 100mbit, limit: 50, seed: 7}\n": {
			Subnet: prefix("192.168.0.0/24"), Impair: &all},
		"links: [{loss: 5%, delay: 20ms+-5ms, reorder: 25%, duplicate: 1%, corrupt: 0.1%, rate: 100mbit, limit: 50, seed: 7}]\n": {
			Subnet: prefix("192.168.0.0/24"), Impair: &all},
		"links: {delay: 0ms}\n": {Subnet: prefix("192.168.0.0/24"), Impair: &impair.Impairment{}},
		"links: {subnet: 192.168.0.0/24, gateway: 192.168.0.1, loss: 1%}\n": {
			Subnet: prefix("192.168.0.0/24"), Gateway: addr("192.168.0.1"), Impair: &impair.Impairment{Loss: 0.01}},
		"links: {subnet: 192.168.0.0/24}\n": {Subnet: prefix("192.168.0.0/24")},
	} {
		t.Run(links, func(t *testing.T) {
			checkLab(t, oneHost+links, Lab{Hosts: []Host{labHost("a", "192.168.0.11/24")}, Links: []Link{want}})
		})
	}
}

func TestErrorsOfImpairedLinks(t *testing.T) {
	checkLabErrors(t, oneHost+"links: {", [][2]string{
		{"loss: 5}", `2:15: links.loss: "5" is no share of packets: write it as 5%, from 0% to 100%`},
		{"loss: 101%}", `2:15: links.loss: "101%" is no share of packets: write it as 5%, from 0% to 100%`},
		{"reorder: x, delay: 1ms}", `2:18: links.reorder: "x" is no share of packets: write it as 5%, from 0% to 100%`},
		{"duplicate: -1%}", `2:20: links.duplicate: "-1%" is no share of packets: write it as 5%, from 0% to 100%`},
		{"corrupt: true}", `2:18: links.corrupt: "true" is no share of packets: write it as 5%, from 0% to 100%`},
		{"delay: 20}", `2:16: links.delay: "20" is no delay: write it as 20ms or 20ms±5ms, at most 1m0s, the second not more than the first`},
		{"delay: 5ms±6ms}", `2:16: links.delay: "5ms±6ms" is no delay: write it as 20ms or 20ms±5ms, at most 1m0s, the second not more than the first`},
		{"rate: 100}", `2:15: links.rate: "100" is no rate: write it as 100mbit, from 1kbit to 1000gbit`},
		{"limit: 0}", `2:16: links.limit: "0" is no number of frames: write one from 1 on, such as 1000`},
		{"seed: x}", `2:15: links.seed: "x" is no seed: write a whole number`},
		{"reorder: 1%}", "2:18: links.reorder: reorder needs a delay: a packet overtakes others as it is not delayed"},
		{"reorder: 1%, delay: 0ms}", "2:18: links.reorder: reorder needs a delay: a packet overtakes others as it is not delayed"},
		{"lose: 5%}", "2:9: links.lose: unknown key: remove it, or use one of subnet, gateway, loss, delay, reorder, duplicate, corrupt, rate, limit and seed"},
		{"loss: [5%]}", "2:15: links.loss: a list stands where one value is expected: write it after the colon"},
		{"gateway: 192.168.0.1}", "2:8: links.subnet: missing: give the subnet of this link, such as 192.168.0.0/24"},
	})
	checkLabErrors(t, oneHost+"links:\n- {subnet: 192.168.0.0/24, gateway: 192.168.0.1}\n- {", [][2]string{
		{"loss: 5%}", "4:3: links[1].subnet: missing: give the subnet of this link, such as 192.168.0.0/24"},
		{"subnet: 192.168.1.0/24, gateway: 192.168.1.1, loss: 5}", `4:56: links[1].loss: "5" is no share of packets: write it as 5%, from 0% to 100%`},
	})
	const none = "1:1: hosts: missing: list at least one host, with its node and uplink.address"
	checkLabErrors(t, "", [][2]string{{"links: {loss: 5%}\n", none}, {"hosts: []\nlinks: {loss: 5%}\n", none}})
}
