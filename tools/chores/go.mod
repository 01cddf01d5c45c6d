module github.com/darter-p2p/darter/tools/chores

go 1.26.0
