#!/bin/sh
# Runs on the device: tells who called and with what.
echo "greetings from $(id -un), $1"
