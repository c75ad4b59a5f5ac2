"""Preset dictionaries for deflate: text that messages are likely to repeat, the likeliest last.

A dictionary is a promise: messages recorded with it must inflate for ever.  Never edit one; add the next number.
tests/protocol/test_dictionaries.py pins their digests, and how small a usual beat becomes.
"""

_1 = (
    # Inventories, receipts, gaps, hellos: seldom, so first.
    b'"digest":"","hardware":{"vendor":"","model":"","cpu_model":"Intel(R) Core(TM) CPU @ GHz","memory_bytes":,'
    b'"chassis":"desktop","os":{"name":"Debian GNU/Linux","version":"12","kernel":"","architecture":"x86_64"},'
    b'"packages_digest":"","packages":{"lib+deb12u1","python3-":"2.0.0-1","printers":[{"name":"'
    b'"command_id":"","outcome":"refused","detail":"unsigned"}"ranges":[["lost":{"beat":,"change":'
    b'{"clock":179.09,"session_id":"","boot_id":"","install_id":"","next_seq":1,"agent_version":"0.1.0","config_version":1}'
    # Words of printers and problems.
    b'"media-jam","media-empty","media-low","toner-low","toner-empty","cover-open","offline","other",'
    b'"marker-supply-low-report","media-empty-error","cups-waiting-for-job-completed","paused","device_snmp",'
    b'"print_server","probed_elsewhere","stopped","processing","waste","cyan","magenta"'
    b'"problems":{"":{"*":"unsupported","denied","timed_out","failed","malformed","unreachable","stale","too_big"'
    # Changes, one of each collector; numbers that beats bear too are found there.
    b'"collector":"uptime","readings":{"":{"uptime_seconds":,"booted_at_seconds":179}}}'
    b'"collector":"clock","readings":{"":{"clock_synchronised":1}}}'
    b'"collector":"reboot","readings":{"":{"reboot_required":0}}}'
    b'"collector":"updates","readings":{"":{"updates_pending_count":12,"updates_security_pending_count":2}}}'
    b'"collector":"units","readings":{"":{"units_failed":[],"units_failed_count":0}}}'
    b'"collector":"processes","readings":{"process:":{"process_running":1,"process_memory_bytes":'
    b'"collector":"cpu","readings":{"":{"cpu_count":4,"cpu_used_ratio":0.0'
    b'"collector":"load","readings":{"":{"load_per_cpu_ratio":0.'
    b'"collector":"memory","readings":{"":{"memory_used_ratio":0.,"memory_total_bytes":8'
    b'"collector":"disk","readings":{"disk:/":{"disk_used_ratio":0.,"disk_total_bytes":240,'
    b'"disk_inodes_used_ratio":0.03,"disk_read_only":0}}}'
    b'"collector":"temperature","readings":{"":{"temperature_celsius":4'
    b'"collector":"battery","readings":{"":{"battery_charge_ratio":1,"battery_on_mains":1,"battery_health_ratio":0.9'
    b'"collector":"network","readings":{"net:eth0":{"network_link_up":1,"network_link_bits_per_second":1000000000,'
    b'"collector":"agent","readings":{"":{"agent_cpu_ratio":0.00,"agent_config_version":'
    b'"collector":"portal","readings":{"portal:":{"portal_up":1,"portal_failed_stage":"none","portal_status_code":200,'
    b'"portal_total_seconds":0.,"portal_certificate_days":6'
    b'"collector":"printers","readings":{"printer:":{"printer_state":"idle","printer_causes":[],"printer_reasons":["none"],'
    b'"printer_accepting":1,"printer_paused":0,"printer_jobs_count":0,"printer_oldest_job_age_seconds":0,'
    b'"printer_pages_count":48213,"printer_address":"192.168.1.:631","printer_model":"HP LaserJet","printer_uuid":"",'
    b'"printer_source":"device_ipp"},"supply:/black":{"supply_level_ratio":0.6,"supply_kind":"toner",'
    b'"supply_colour":"black"},"tray:/tray-1":{"tray_level_ratio":0.5,"tray_media":"iso_a4_210x297mm"}}}'
    b'"collector":"queues","readings":{"queue:main":{"queue_waiting_count":1,"queue_counters_open_count":3,'
    b'"queue_counters_total_count":4,"queue_observed_at_seconds":179,"queue_stale":0}}'
    b',"because":["printer: printer_state"," printer_causes"," printer_reasons"," battery_on_mains","portal: portal_up"'
    b',"because":["queue:main queue_waiting_count"]}'
    # A beat.
    b'{"seq":1,"at":179,"seconds":300,"samples":10,"numbers":{"":{"cpu_used_ratio":[0.0,"cpu_used_ratio":0.03,'
    b'"load_per_cpu_ratio":0.1,"memory_used_ratio":0.4,"swap_used_ratio":0,"battery_charge_ratio":1,'
    b'"temperature_celsius":46,"agent_cpu_ratio":0.001,"agent_memory_bytes":28,"outbox_used_ratio":0,'
    b'"outbox_oldest_age_seconds":0},"disk:/":{"disk_used_ratio":0.5,"disk_free_bytes":11000000000},'
    b'"net:eth0":{"network_received_bytes_per_second":1,"network_sent_bytes_per_second":9,'
    b'"network_errors_per_second":0},"net:wlan0":{"network_received_bytes_per_second":[1,'
    b'"network_sent_bytes_per_second":[9,"network_errors_per_second":0,"wifi_signal_dbm":-58},'
    b'"portal:":{"portal_total_seconds":[0.2,"portal_dns_seconds":0.01,"portal_tcp_seconds":0.03,'
    b'"portal_tls_seconds":0.06,"portal_http_seconds":0.1},"printer:":{"printer_jobs_count":0},'
    b'"queue:main":{"queue_waiting_count":[0,"queue_longest_wait_seconds":[0,"queue_average_wait_seconds":0,'
    b'"queue_served_last_hour_count":1,"queue_abandoned_last_hour_count":0}}}'
)

BY_VERSION: dict[int, bytes] = {1: _1}
NEWEST = 1
