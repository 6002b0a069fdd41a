// Writes the times that a CronJob of Kubernetes has for some expressions: its controller asks this very parser.
//
//	go run . > times.json
package main

import (
	"encoding/json"
	"os"
	"time"

	"github.com/robfig/cron/v3"
)

type row struct {
	Expression string  `json:"expression"`
	Zone       string  `json:"zone"`
	From       int64   `json:"from"`
	Times      []int64 `json:"times"`
	Error      string  `json:"error,omitempty"`
}

var expressions = []string{
	"* * * * *", "*/5 * * * *", "*/7 3-5 * * *", "0 * * * *", "30 2 * * *", "0 3 * * *", "0 0 * * *", "15 1 * * *",
	"30 1,2,3 * * *", "0 9 * * 1-5", "0 9 * * mon-fri", "0 0 1 * *", "0 0 29 2 *", "0 0 31 * *", "0 12 13 * 5",
	"0 12 13 * */2", "0 12 */10 * 5", "0 12 * * 0", "0 6 1,15 jan,jul *", "59 23 31 12 *", "@hourly", "@daily",
	"@weekly", "@monthly", "@yearly", "0 0 ? * mon", "*/90 * * * *", "5/15 * * * *", "0 22-2 * * *", "0 0 * * 5-1",
	"0 0 30 2 *", "0 0 L * *", "0 0 15W * *", "0 0 * * 5#2", "0 12 * * 7", "@every 1h", "* * * * * *", "60 * * * *",
}

// next is not known when the parser's search does not end, as it may where a day begins with a gap.
func next(schedule cron.Schedule, after time.Time) (time.Time, bool) {
	found := make(chan time.Time, 1)
	go func() { found <- schedule.Next(after) }()
	select {
	case at := <-found:
		return at, true
	case <-time.After(time.Second):
		return time.Time{}, false
	}
}

func main() {
	starts := map[string][]string{
		"Etc/UTC":             {"2027-01-30T00:00:00Z"},
		"Europe/Madrid":       {"2027-03-27T20:00:00Z", "2027-10-30T20:00:00Z"},
		"America/New_York":    {"2027-03-13T20:00:00Z", "2027-11-06T20:00:00Z"},
		"Australia/Lord_Howe": {"2027-10-02T08:00:00Z", "2027-04-03T08:00:00Z"},
		"Asia/Kolkata":        {"2027-02-26T00:00:00Z"},
		"America/Havana":      {"2027-03-13T20:00:00Z", "2027-11-06T20:00:00Z"},
		"Pacific/Apia":        {"2011-12-28T20:00:00Z"},
	}
	zones := []string{"Etc/UTC", "Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Havana", "Pacific/Apia"}
	rows := []row{}
	for _, zone := range zones {
		location, err := time.LoadLocation(zone)
		if err != nil {
			panic(err)
		}
		for _, start := range starts[zone] {
			from, err := time.Parse(time.RFC3339, start)
			if err != nil {
				panic(err)
			}
			for _, expression := range expressions {
				made := row{Expression: expression, Zone: zone, From: from.Unix(), Times: []int64{}}
				schedule, err := cron.ParseStandard(expression)
				if err != nil {
					made.Error = err.Error()
				} else {
					at := from.In(location)
					for len(made.Times) < 30 {
						following, known := next(schedule, at)
						if !known {
							made.Error = "no answer within a second"
							break
						}
						if following.IsZero() {
							break
						}
						at = following
						made.Times = append(made.Times, at.Unix())
					}
				}
				rows = append(rows, made)
			}
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(rows); err != nil {
		panic(err)
	}
}
